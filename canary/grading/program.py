"""The answer's program does in every world what the oracle does there.

Accuracy is that, and nothing less. Field access is measured beside it, by changing one field at a time and asking
whether the program changes as the oracle does (`change.py`). A program can have either without the other.
"""

import ast
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar

import msgspec

from canary.programs.behaviour import Behaviour, Failure, FailureKind, Order, difference
from canary.programs.change import change_between
from canary.programs.fences import NoProgram, take_program
from canary.programs.paths import leaf_shape
from canary.programs.reference import OracleFailed, Pair, Reference, Task, reference_of, run_oracle
from canary.programs.stubs import render_stubs
from canary.programs.tools import Catalogue, Tool, check_catalogue
from canary.programs.worlds import typed_world
from gateway.contracts.evaluations import Grade, Metric, Ungraded

LEAST_WORLDS = 2
"""One alone cannot tell a program from its answer written down."""


class Program(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="program"):
    """`{"kind": "program", "tools": ["get_order"], "oracle": "result = get_order(order_id='O9')['total']", ...}`.

    Further: `"fields": ["get_order.total"]` and `"worlds": [{"get_order": {"*": {"total": 5.0}}}, ...]`. `result` is
    compared where the oracle sets it. A world gives each tool's returns by its arguments as JSON, or by `*`.
    """

    kind: ClassVar[str] = "program"
    version: ClassVar[int] = 2

    tools: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    """Those that the prompt offers, which may be more than the oracle uses."""
    define: dict[str, Tool] = {}
    """Tools that the suite's catalogue lacks."""
    oracle: str
    worlds: tuple[dict[str, dict[str, Any]], ...]
    fields: tuple[str, ...] = ()
    """Paths that matter to the oracle: `get_order.customer.email`, `list_orders.orders.*.total`."""
    effects: Order = "ordered"
    max_calls: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100

    def __post_init__(self) -> None:
        if len(self.worlds) < LEAST_WORLDS:
            raise ValueError(
                f"`worlds` must hold at least {LEAST_WORLDS}: a program is told from its answer by the second"
            )
        try:
            ast.parse(self.oracle)
        except (SyntaxError, ValueError) as error:
            raise ValueError(f"`oracle` is no Python: {error}") from error

    def ready(self, catalogue: Catalogue) -> "ReadyProgram":
        """Return the grader with its tools' definitions and typed worlds. Raises ValueError, which says where."""
        tools = chosen_tools(self.tools, self.define, catalogue)
        for path in self.fields:
            leaf_shape(path, tools)
        worlds = tuple(typed_world(world, tools, f"world {number}") for number, world in enumerate(self.worlds))
        return ReadyProgram(
            task=Task(
                tools=tools,
                oracle=self.oracle,
                worlds=worlds,
                fields=self.fields,
                effects=self.effects,
                max_calls=self.max_calls,
            )
        )


def chosen_tools(names: Sequence[str], define: Catalogue, catalogue: Catalogue) -> Catalogue:
    """Return these tools' definitions in this order. Raises ValueError for one that is not defined, or badly."""
    check_catalogue(define)
    known = catalogue | define
    for name in names:
        if name not in known:
            raise ValueError(f"the tool {name!r} is not in the catalogue (tools.toml)")
    return {name: known[name] for name in names}


class ReadyProgram(msgspec.Struct, frozen=True, kw_only=True):
    kind: ClassVar[str] = Program.kind
    version: ClassVar[int] = Program.version

    task: Task

    def grade(self, answer: str) -> Grade | Ungraded:
        """Decline where the sandbox cannot run the program, or the case itself is wrong."""
        try:
            reference = reference_of(self.task)
        except OracleFailed as error:
            return Ungraded(reason=f"the case is wrong: {error}")
        try:
            source = take_program(answer)
        except NoProgram as error:
            return self._failed(Failure(kind=FailureKind.EXTRACT, message=str(error)), field_access=0.0)
        failure, field_access = self.judge(source, reference)
        if failure is None:
            return Grade(value=1.0, reason="does as the oracle in every world", measures=self._measures(field_access))
        if failure.kind.of_sandbox:
            return Ungraded(reason=f"{failure.kind}: {failure.message}")
        return self._failed(failure, field_access)

    def judge(self, source: str, reference: Reference) -> tuple[Failure | None, float | None]:
        """Return how the program fails, if it does, and its field access, if it can be told.

        A program that is wrong in one world is wrong, whatever the sandbox does not run in another.
        """
        worlds = (*self.task.worlds, *(pair.perturbation.world for pair in reference.pairs))
        outcomes = self.task.run(source, worlds)
        in_worlds, in_pairs = outcomes[: len(self.task.worlds)], outcomes[len(self.task.worlds) :]
        unsupported = next((each for each in outcomes if isinstance(each, Failure) and each.kind.of_sandbox), None)
        failures = self._failures(in_worlds, reference.behaviours)
        failure = next((each for each in failures if not each.kind.of_sandbox), unsupported)
        if unsupported is not None:
            return failure, None
        return failure, self._field_access(reference.pairs, in_worlds, in_pairs)

    def stubs(self) -> str:
        """Return the tools as the prompt shows them."""
        return render_stubs(self.task.tools)

    def check(self) -> None:
        """Run the oracle in the case's worlds. Raises OracleFailed."""
        run_oracle(self.task)

    def complaint(self) -> str | None:
        """Return what is wrong with the case: the oracle fails, or a field never matters to it. Slower than `check`."""
        try:
            reference_of(self.task)
        except OracleFailed as error:
            return str(error)
        return None

    def describe(self) -> str:
        order = "" if self.task.effects == "ordered" else " (effects in any order)"
        return f"a program that does in {len(self.task.worlds)} worlds as this{order}:\n{self.task.oracle}"

    def _failures(self, found: Sequence[Behaviour | Failure], expected: Sequence[Behaviour]) -> Iterator[Failure]:
        for number, (outcome, behaviour) in enumerate(zip(found, expected, strict=True)):
            failure = outcome if isinstance(outcome, Failure) else difference(outcome, behaviour, self.task.effects)
            if failure is not None:
                yield msgspec.structs.replace(failure, message=f"world {number}: {failure.message}")

    def _field_access(
        self,
        pairs: Sequence[Pair],
        in_worlds: Sequence[Behaviour | Failure],
        in_pairs: Sequence[Behaviour | Failure],
    ) -> float:
        """Return the mean over paths of the share of pairs in which the program changes as the oracle does."""
        hits: dict[str, list[bool]] = {path: [] for path in self.task.fields}
        for pair, after in zip(pairs, in_pairs, strict=True):
            before = in_worlds[pair.perturbation.world_number]
            hit = (
                isinstance(before, Behaviour)
                and isinstance(after, Behaviour)
                and change_between(before, after, self.task.effects) == pair.change
            )
            hits[pair.perturbation.path].append(hit)
        shares = [sum(each) / len(each) for each in hits.values()]
        return sum(shares) / len(shares) if shares else 0.0

    def _measures(self, field_access: float | None) -> dict[Metric, float]:
        return {Metric.FIELD_ACCESS: field_access} if self.task.fields and field_access is not None else {}

    def _failed(self, failure: Failure, field_access: float | None) -> Grade:
        return Grade(value=0.0, reason=f"{failure.kind}: {failure.message}", measures=self._measures(field_access))
