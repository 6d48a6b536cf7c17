import msgspec
import pytest

from canary.judge import judge
from gateway.contracts.evaluations import Role
from gateway.contracts.suites import SEED_CRITERIA
from gateway.contracts.winner import choose_winner
from tests.support.evaluations import Result, make_evaluation, make_system


@pytest.mark.parametrize(
    ("results", "sizes", "winner"),
    [
        ({"a": [1.0] * 20, "b": [1.0] * 20}, (5, 4), "b"),
        ({"a": [1.0] * 19 + [0.0], "b": [1.0] * 20}, (4, 4), "b"),
        ({"a": [1.0] * 20, "b": [1.0] * 20}, (4, 4), "a"),
        ({"a": [1.0] * 20, "b": [0.0] * 20}, (5, 4), "a"),
        ({"a": [0.0] * 20, "b": [0.0] * 20}, (5, 4), None),
    ],
    ids=["smaller", "as small and more accurate", "equal, the first", "the only one", "none"],
)
def test_the_winner_is_the_smallest_then_the_most_accurate_then_the_first(
    results: dict[str, list[Result]], sizes: tuple[int, int], winner: str | None
) -> None:
    systems = [
        make_system("incumbent", Role.INCUMBENT),
        *(make_system(name, predicted_bytes=size) for name, size in zip(results, sizes, strict=True)),
    ]
    criteria = [criterion for criterion in SEED_CRITERIA if criterion.name == "accuracy"]
    evaluation = make_evaluation({"incumbent": [1.0] * 20, **results}, systems=systems, criteria=criteria)
    found = choose_winner(msgspec.structs.replace(evaluation, judgements=judge(evaluation)))
    assert (found.variant.name if found else None) == winner
