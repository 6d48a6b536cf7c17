"""Programs that are wrong in one way: what a grader must not accept. Made from an oracle's syntax tree.

Each operator is one kind of mistake. A mutant may happen to do the same as the oracle; runs can tell (`mutation.py`).
"""

import ast
from collections.abc import Iterator
from typing import Any, cast

import msgspec

from canary.programs.behaviour import Behaviour
from canary.programs.mutants import decisions, steps, values
from canary.programs.mutants.oracle import BlockOperator, NodeOperator, Oracle
from canary.programs.reference import Task


class Mutant(msgspec.Struct, frozen=True, kw_only=True):
    operator: str
    source: str


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
    yield Mutant(operator="hard_coded_value", source=values.hard_coded_program(oracle))
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


NODE_OPERATORS: tuple[tuple[str, NodeOperator], ...] = (
    ("hard_coded_value", values.hard_coded_field),
    ("wrong_field", values.wrong_field),
    ("whole_object", values.whole_object),
    ("attribute_style", values.attribute_style),
    ("dropped_hop", values.dropped_hop),
    ("wrong_tool", values.wrong_tool),
    ("wrong_literal", values.wrong_literal),
    ("wrong_literal", values.other_literal),
    ("swapped_arguments", values.swapped_arguments),
    ("swapped_comparison", decisions.swapped_comparison),
    ("inverted_branch", decisions.inverted_branch),
    ("inverted_branch", decisions.ignored_filter),
    ("dropped_condition", decisions.dropped_condition),
    ("wrong_operation", decisions.wrong_operation),
    ("wrong_operation", decisions.lost_sign),
    ("off_by_one", decisions.off_by_one),
    ("first_page_only", steps.part_of_list),
)
BLOCK_OPERATORS: tuple[tuple[str, BlockOperator], ...] = (
    ("first_page_only", steps.first_page_only),
    ("first_page_only", steps.loop_over_part),
    ("moved_statement", steps.moved_statement),
    ("replaced_total", steps.replaced_total),
    ("inverted_branch", decisions.negated_if),
    ("missing_statement", steps.missing_statement),
    ("missing_effect", steps.missing_effect),
    ("extra_effect", steps.extra_effect),
    ("reordered_effects", steps.reordered_effects),
)
