"""Programs that are wrong in one way: what a grader must not accept. Made from an oracle's syntax tree.

Each operator is one kind of mistake. A mutant may happen to do the same as the oracle; runs can tell (`mutation.py`).
"""

import ast
from collections.abc import Callable, Iterator
from typing import Any, cast

import msgspec

from canary.programs.behaviour import Behaviour
from canary.programs.paths import leaves
from canary.programs.reference import Task
from canary.programs.shapes import Shape

SIBLINGS_COUNT = 2
"""Wrong fields tried for each field."""


class Mutant(msgspec.Struct, frozen=True, kw_only=True):
    operator: str
    source: str


class Oracle(msgspec.Struct, frozen=True, kw_only=True):
    """What operators look at."""

    task: Task
    first: Behaviour
    """The oracle's behaviour in the first world."""

    @property
    def effect_tools(self) -> frozenset[str]:
        return frozenset(name for name, tool in self.task.tools.items() if tool.effect)


NodeOperator = Callable[[ast.AST, Oracle], Iterator[ast.AST]]
"""Yields what may stand in a node's place."""
BlockOperator = Callable[[list[ast.stmt], Oracle], Iterator[list[ast.stmt]]]
"""Yields what may stand in a block's place."""


def mutants_of(task: Task, first: Behaviour) -> tuple[Mutant, ...]:
    """Return the mutants of a task's oracle, each text once, none of them the oracle's own."""
    oracle = Oracle(task=task, first=first)
    tree = ast.parse(task.oracle)
    found: dict[str, Mutant] = {}
    for mutant in _all(tree, oracle):
        found.setdefault(mutant.source, mutant)
    found.pop(ast.unparse(tree), None)
    return tuple(found.values())


def _all(tree: ast.Module, oracle: Oracle) -> Iterator[Mutant]:
    yield Mutant(operator="hard_coded_value", source=_hard_coded(oracle))
    for parent in list(ast.walk(tree)):
        for field, value in ast.iter_fields(parent):
            if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
                for name, operator in BLOCK_OPERATORS:
                    for block in operator(cast("list[ast.stmt]", value), oracle):
                        yield Mutant(
                            operator=name, source=_unparsed_with(tree, parent, field, None, block or [ast.Pass()])
                        )
                continue
            places = list(enumerate(cast("list[Any]", value))) if isinstance(value, list) else [(None, value)]
            for place, node in places:
                if isinstance(node, ast.expr):
                    for name, operator in NODE_OPERATORS:
                        for replacement in operator(node, oracle):
                            yield Mutant(operator=name, source=_unparsed_with(tree, parent, field, place, replacement))


def _unparsed_with(
    tree: ast.Module, parent: ast.AST, field: str, place: int | None, new: ast.AST | list[ast.stmt]
) -> str:
    """Return the source with one field, or one element of a list, replaced; the tree is as before afterwards."""
    value = getattr(parent, field)
    old = value if place is None else list(value)
    if place is None:
        setattr(parent, field, new)
    else:
        value[place] = new
    try:
        return ast.unparse(tree)
    finally:
        setattr(parent, field, old)


# --- values and fields


def _hard_coded(oracle: Oracle) -> str:
    """Return the program that does, whatever the world, what the oracle does in the first."""
    calls = [
        f"{effect.tool}({', '.join(f'{name}={value!r}' for name, value in effect.arguments.items())})"
        for effect in oracle.first.effects
    ]
    result = [f"result = {oracle.first.result!r}"] if oracle.task.wants_result else []
    return "\n".join([*calls, *result]) or "pass"


def hard_coded_field(node: ast.AST, oracle: Oracle) -> Iterator[ast.AST]:
    key = _key(node)
    for path in oracle.task.fields:
        if key is not None and path.split(".")[-1] == key:
            for leaf in leaves(path, oracle.task.worlds[0]):
                yield ast.Constant(leaf.value)
                return


def wrong_field(node: ast.AST, oracle: Oracle) -> Iterator[ast.AST]:
    key = _key(node)
    if key is None:
        return
    siblings = [name for record in _records(oracle) if key in record for name in _siblings(record, key)]
    for sibling in list(dict.fromkeys(siblings))[:SIBLINGS_COUNT]:
        yield _subscript(node, sibling)


def whole_object(node: ast.AST, oracle: Oracle) -> Iterator[ast.AST]:
    del oracle
    if _key(node) is not None:
        yield cast("ast.Subscript", node).value


def attribute_style(node: ast.AST, oracle: Oracle) -> Iterator[ast.AST]:
    del oracle
    key = _key(node)
    if key is not None:
        yield ast.Attribute(value=cast("ast.Subscript", node).value, attr=key, ctx=ast.Load())


def dropped_hop(node: ast.AST, oracle: Oracle) -> Iterator[ast.AST]:
    """Yield the record a reading call's argument was taken from, or that argument, in the call's place."""
    match node:
        case ast.Call(func=ast.Name(id=name), keywords=[ast.keyword(value=ast.Subscript() as argument)]) if (
            name in oracle.task.tools and name not in oracle.effect_tools and _key(argument) is not None
        ):
            yield argument.value
            yield argument
        case _:
            return


def wrong_tool(node: ast.AST, oracle: Oracle) -> Iterator[ast.AST]:
    match node:
        case ast.Call(func=ast.Name(id=name)) if name in oracle.task.tools:
            tool = oracle.task.tools[name]
            for other, definition in oracle.task.tools.items():
                if other != name and definition.effect == tool.effect:
                    yield ast.Call(func=ast.Name(id=other, ctx=ast.Load()), args=node.args, keywords=node.keywords)
        case _:
            return


def wrong_literal(node: ast.AST, oracle: Oracle) -> Iterator[ast.AST]:
    match node:
        case ast.Constant(value=str() as text) if not any(text in record for record in _records(oracle)):
            yield ast.Constant(f"{text}x")
        case _:
            return


# --- decisions


_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE),
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}


def swapped_comparison(node: ast.AST, oracle: Oracle) -> Iterator[ast.AST]:
    del oracle
    if isinstance(node, ast.Compare):
        for place, operator in enumerate(node.ops):
            for other in _COMPARISONS[type(operator)]:
                operators = [*node.ops[:place], other(), *node.ops[place + 1 :]]
                yield ast.Compare(left=node.left, ops=operators, comparators=node.comparators)


def inverted_branch(node: ast.AST, oracle: Oracle) -> Iterator[ast.AST]:
    del oracle
    match node:
        case ast.IfExp():
            yield ast.IfExp(test=node.test, body=node.orelse, orelse=node.body)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.BoolOp(op=operator, values=values):
            yield ast.BoolOp(op=ast.Or() if isinstance(operator, ast.And) else ast.And(), values=values)
        case _:
            return


def ignored_filter(node: ast.AST, oracle: Oracle) -> Iterator[ast.AST]:
    del oracle
    if isinstance(node, ast.ListComp | ast.GeneratorExp) and node.generators[0].ifs:
        first = node.generators[0]
        inverted: list[ast.expr] = [ast.UnaryOp(op=ast.Not(), operand=first.ifs[0])]
        for conditions in (list[ast.expr](), inverted):
            generator = ast.comprehension(target=first.target, iter=first.iter, ifs=conditions, is_async=0)
            yield type(node)(elt=node.elt, generators=[generator, *node.generators[1:]])


def dropped_condition(node: ast.AST, oracle: Oracle) -> Iterator[ast.AST]:
    del oracle
    if isinstance(node, ast.BoolOp):
        for place in range(len(node.values)):
            rest = [value for other, value in enumerate(node.values) if other != place]
            yield rest[0] if len(rest) == 1 else ast.BoolOp(op=node.op, values=rest)


_OTHER_FUNCTIONS = {"min": "max", "max": "min", "any": "all", "all": "any", "sum": "len", "sorted": "list"}
_OTHER_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
}


def wrong_operation(node: ast.AST, oracle: Oracle) -> Iterator[ast.AST]:
    del oracle
    match node:
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _OTHER_OPERATORS:
            yield ast.BinOp(left=left, op=_OTHER_OPERATORS[type(operator)](), right=right)
            if isinstance(operator, ast.Sub | ast.Div):
                yield ast.BinOp(left=right, op=operator, right=left)
        case ast.Call(func=ast.Name(id=name)) if name in _OTHER_FUNCTIONS:
            keywords = [] if name == "sorted" else node.keywords
            yield ast.Call(func=ast.Name(id=_OTHER_FUNCTIONS[name], ctx=ast.Load()), args=node.args, keywords=keywords)
        case ast.Constant(value=bool() as value):
            yield ast.Constant(not value)
        case _:
            return


def off_by_one(node: ast.AST, oracle: Oracle) -> Iterator[ast.AST]:
    del oracle
    match node:
        case ast.Constant(value=int() as value) if not isinstance(value, bool):
            yield ast.Constant(value + 1)
            yield ast.Constant(value - 1)
        case ast.Call(func=ast.Name(id="len")):
            yield ast.BinOp(left=node, op=ast.Sub(), right=ast.Constant(1))
        case _:
            return


# --- loops and effects


def first_element_only(node: ast.AST, oracle: Oracle) -> Iterator[ast.AST]:
    del oracle
    if isinstance(node, ast.ListComp | ast.GeneratorExp):
        first = node.generators[0]
        start = ast.Subscript(value=first.iter, slice=ast.Slice(upper=ast.Constant(1)), ctx=ast.Load())
        generator = ast.comprehension(target=first.target, iter=start, ifs=first.ifs, is_async=0)
        yield type(node)(elt=node.elt, generators=[generator, *node.generators[1:]])


def first_page_only(block: list[ast.stmt], oracle: Oracle) -> Iterator[list[ast.stmt]]:
    del oracle
    for place, statement in enumerate(block):
        if isinstance(statement, ast.While):
            once = ast.While(test=statement.test, body=[*statement.body, ast.Break()], orelse=[])
            yield [*block[:place], once, *block[place + 1 :]]
        elif isinstance(statement, ast.For):
            once = ast.For(
                target=statement.target, iter=statement.iter, body=[*statement.body, ast.Break()], orelse=[], lineno=1
            )
            yield [*block[:place], once, *block[place + 1 :]]


def negated_if(block: list[ast.stmt], oracle: Oracle) -> Iterator[list[ast.stmt]]:
    """Yield with each `if` inverted, made unconditional, or without its `else`."""
    del oracle
    for place, statement in enumerate(block):
        if isinstance(statement, ast.If):
            inverted = ast.UnaryOp(op=ast.Not(), operand=statement.test)
            yield [
                *block[:place],
                ast.If(test=inverted, body=statement.body, orelse=statement.orelse),
                *block[place + 1 :],
            ]
            yield [*block[:place], *statement.body, *block[place + 1 :]]
            if statement.orelse:
                yield [*block[:place], ast.If(test=statement.test, body=statement.body, orelse=[]), *block[place + 1 :]]
                yield [*block[:place], *statement.orelse, *block[place + 1 :]]


def missing_statement(block: list[ast.stmt], oracle: Oracle) -> Iterator[list[ast.stmt]]:
    """Yield without each statement that is neither an effect nor a loop or decision: an update that was forgotten."""
    for place, statement in enumerate(block):
        if isinstance(statement, ast.AugAssign | ast.Assign | ast.Break | ast.Expr) and not _has_effect(
            statement, oracle
        ):
            yield [*block[:place], *block[place + 1 :]]


def missing_effect(block: list[ast.stmt], oracle: Oracle) -> Iterator[list[ast.stmt]]:
    for place, statement in enumerate(block):
        if _has_effect(statement, oracle):
            yield [*block[:place], *block[place + 1 :]]


def extra_effect(block: list[ast.stmt], oracle: Oracle) -> Iterator[list[ast.stmt]]:
    for place, statement in enumerate(block):
        if _has_effect(statement, oracle):
            yield [*block[: place + 1], statement, *block[place + 1 :]]


def reordered_effects(block: list[ast.stmt], oracle: Oracle) -> Iterator[list[ast.stmt]]:
    if oracle.task.effects != "ordered":
        return
    for place in range(len(block) - 1):
        one, other = block[place : place + 2]
        if _has_effect(one, oracle) and _has_effect(other, oracle):
            yield [*block[:place], other, one, *block[place + 2 :]]
    for place, statement in enumerate(block):
        if isinstance(statement, ast.For) and any(_has_effect(inner, oracle) for inner in ast.walk(statement)):
            backwards = ast.Subscript(
                value=ast.Call(func=ast.Name(id="list", ctx=ast.Load()), args=[statement.iter], keywords=[]),
                slice=ast.Slice(step=ast.Constant(-1)),
                ctx=ast.Load(),
            )
            yield [
                *block[:place],
                ast.For(target=statement.target, iter=backwards, body=statement.body, orelse=[], lineno=1),
                *block[place + 1 :],
            ]


NODE_OPERATORS: tuple[tuple[str, NodeOperator], ...] = (
    ("hard_coded_value", hard_coded_field),
    ("wrong_field", wrong_field),
    ("whole_object", whole_object),
    ("attribute_style", attribute_style),
    ("dropped_hop", dropped_hop),
    ("wrong_tool", wrong_tool),
    ("wrong_literal", wrong_literal),
    ("swapped_comparison", swapped_comparison),
    ("inverted_branch", inverted_branch),
    ("inverted_branch", ignored_filter),
    ("dropped_condition", dropped_condition),
    ("wrong_operation", wrong_operation),
    ("off_by_one", off_by_one),
    ("first_page_only", first_element_only),
)
BLOCK_OPERATORS: tuple[tuple[str, BlockOperator], ...] = (
    ("first_page_only", first_page_only),
    ("inverted_branch", negated_if),
    ("missing_statement", missing_statement),
    ("missing_effect", missing_effect),
    ("extra_effect", extra_effect),
    ("reordered_effects", reordered_effects),
)


def _key(node: ast.AST) -> str | None:
    """Return the name in `something['name']` that is read."""
    match node:
        case ast.Subscript(slice=ast.Constant(value=str() as key), ctx=ast.Load()):
            return key
        case _:
            return None


def _subscript(node: ast.AST, key: str) -> ast.Subscript:
    return ast.Subscript(value=cast("ast.Subscript", node).value, slice=ast.Constant(key), ctx=ast.Load())


def _has_effect(node: ast.AST, oracle: Oracle) -> bool:
    """Return whether this is a simple statement that calls a tool with an effect."""
    return isinstance(node, ast.Expr | ast.Assign) and any(
        isinstance(inner, ast.Call) and isinstance(inner.func, ast.Name) and inner.func.id in oracle.effect_tools
        for inner in ast.walk(node)
    )


def _records(oracle: Oracle) -> Iterator[dict[str, Shape]]:
    for tool in oracle.task.tools.values():
        yield from _records_in(tool.returns)


def _records_in(shape: Shape) -> Iterator[dict[str, Shape]]:
    match shape:
        case dict():
            fields = cast("dict[str, Shape]", shape)
            yield fields
            for inner in fields.values():
                yield from _records_in(inner)
        case [inner]:
            yield from _records_in(inner)
        case _:
            return


def _siblings(record: dict[str, Shape], key: str) -> list[str]:
    """Return the other fields, those of the same type first."""
    others = [name for name in record if name != key]
    return sorted(others, key=lambda name: record[name] != record[key])
