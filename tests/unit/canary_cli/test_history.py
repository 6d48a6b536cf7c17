import io

from rich.console import Console

from canary.history import render_history
from gateway.contracts.deployments import Promotion, PromotionKind, PromotionOutcome


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
    console = Console(file=io.StringIO(), width=140)
    render_history([change], [], console)
    assert isinstance(console.file, io.StringIO)
    printed = console.file.getvalue()
    for words in ("a" * 12, "b" * 12, "override", "done", "the [old] one is broken", "Evaluations: none"):
        assert words in printed
