import io
from collections.abc import Mapping, Sequence

from rich.console import Console

from canary.history import render_history
from gateway.contracts.admin import CandidateOutcome, EvaluationSummary
from gateway.contracts.deployments import Promotion, PromotionKind, PromotionOutcome
from gateway.contracts.evaluations import Outcome


def printed(
    promotions: Sequence[Promotion], evaluations: Sequence[EvaluationSummary], references: Mapping[str, str]
) -> str:
    console = Console(file=io.StringIO(), width=140)
    render_history(promotions, evaluations, references, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_change_says_from_where_to_where_and_why() -> None:
    change = Promotion(
        id=2,
        at="2026-01-01T00:00:00Z",
        model="tutor",
        kind=PromotionKind.OVERRIDE,
        outcome=PromotionOutcome.DONE,
        from_variant="a" * 64,
        to_variant="b" * 64,
        reason="the [old] one is broken",
        revision=2,
    )
    shown = printed([change], [], {"b" * 64: "new@" + "b" * 12})
    for words in ("a" * 12, "new@" + "b" * 12, "override", "done", "the [old] one is broken", "Evaluations: none"):
        assert words in shown


def test_an_evaluation_names_its_systems_whole() -> None:
    names = ["smollm2-135m-instruct-8bit@8e4b45308123", "smollm2-135m-instruct-5bit@00254bc4c673"]
    run = EvaluationSummary(
        id="20260101-000000-abcdef",
        created_at="2026-01-01T00:00:00Z",
        model="tutor",
        suite="smoke",
        incumbent=names[0],
        candidates=(CandidateOutcome(reference=names[1], outcome=Outcome.PASSED),),
    )
    shown = printed([], [run], {})
    for words in (run.id, names[0], f"{names[1]}: passed", "Changes of the incumbent: none"):
        assert words in " ".join(shown.split())
