"""Programs that are right in other words: what a grader must accept. Made from an oracle's syntax tree.

A rewrite changes how a program is written and not what it does, for programs of the kind that oracles are: statements,
branches and loops over what tools return, in which reading has no effect.
"""

import ast
from collections.abc import Callable

import msgspec

from canary.programs.reference import Task
from canary.programs.rewrites import decisions, loops, notation, structure


class Rewrite(msgspec.Struct, frozen=True, kw_only=True):
    kind: str
    source: str


Rewriter = Callable[[ast.Module, Task], "ast.Module | str | None"]


def rewrites_of(task: Task) -> tuple[Rewrite, ...]:
    """Return the rewrites that apply to a task's oracle and change its text."""
    own = ast.unparse(ast.parse(task.oracle))
    found: list[Rewrite] = []
    for kind, rewriter in REWRITERS:
        written = rewriter(ast.parse(task.oracle), task)
        source = ast.unparse(ast.fix_missing_locations(written)) if isinstance(written, ast.Module) else written
        if source is not None and source != own:
            found.append(Rewrite(kind=kind, source=source))
    return tuple(found)


REWRITERS: tuple[tuple[str, Rewriter], ...] = (
    ("renamed variables", notation.renamed_variables),
    ("`.get()` for `[]`", notation.get_method),
    ("positional arguments", notation.positional_arguments),
    ("concatenation for f-string", notation.concatenation),
    ("`format()` for f-string", notation.format_method),
    ("`%` for f-string", notation.percent_format),
    ("`join()` for f-string", notation.joined_text),
    ("arguments by `**`", notation.arguments_by_star),
    ("`x = x + y` for `x += y`", notation.expanded_update),
    ("comments and type hints", notation.comments_and_hints),
    ("branches swapped under `not`", decisions.swapped_branches),
    ("comparison turned round", decisions.flipped_comparison),
    ("comparison under `not`", decisions.negated_comparison),
    ("chained comparison split", decisions.split_chain),
    ("`== None` for `is None`", decisions.none_by_equality),
    ("conditional expression for `if`", decisions.conditional_expression),
    ("`if` for conditional expression", decisions.if_statement),
    ("`match` for `if`", decisions.match_statement),
    ("assignment inside the `if`", decisions.walrus),
    ("loop for comprehension", loops.loop_for_comprehension),
    ("comprehension for loop", loops.comprehension_for_loop),
    ("loop by index", loops.loop_by_index),
    ("loop by `enumerate`", loops.loop_by_enumerate),
    ("`while` for `for`", loops.while_by_index),
    ("`while True` with `break`", loops.endless_loop_with_break),
    ("temporary variables", structure.temporaries),
    ("field by field", structure.field_by_field),
    ("independent reads reordered", structure.reordered_reads),
    ("reads repeated", structure.repeated_reads),
    ("all in a function", structure.main_function),
    ("helper functions", structure.helper_functions),
    ("reads through a `lambda`", structure.lambda_helper),
    ("`del` at the end", structure.deleted_variables),
    ("early returns", structure.early_return),
    ("result as last expression", structure.last_expression),
    ("tuple for list", structure.tuple_for_list),
    ("prints as well", structure.printed),
    ("inside `try`", structure.guarded),
)
