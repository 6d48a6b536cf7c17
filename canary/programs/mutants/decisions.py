"""Mistakes in what a program decides and computes."""

import ast
from collections.abc import Iterator

from canary.programs.mutants.oracle import Oracle

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
                yield [*block[:place], *statement.body, *statement.orelse, *block[place + 1 :]]
                yield [*block[:place], ast.If(test=statement.test, body=statement.body, orelse=[]), *block[place + 1 :]]
                yield [*block[:place], *statement.orelse, *block[place + 1 :]]


def lost_sign(node: ast.AST, oracle: Oracle) -> Iterator[ast.AST]:
    """Yield a difference without its sign, and a quotient without its fraction."""
    del oracle
    match node:
        case ast.BinOp(op=ast.Sub()):
            yield ast.Call(func=ast.Name(id="abs", ctx=ast.Load()), args=[node], keywords=[])
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            yield ast.BinOp(left=left, op=ast.FloorDiv(), right=right)
        case _:
            return
