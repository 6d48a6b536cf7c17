"""Measure what fidelity shows of sound builds of the embedded model and of broken ones; the judge's limits lie between.

    python -m tests.campaign.fidelity [--state DIR]

writes `tests/campaign/fidelity.md`, anew after each build, so that one that is broken off leaves what it measured. It
trains an adapter, which takes minutes; `--state` keeps the builds and what was scored of them, and goes on from there.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import structlog

from canary.builds import build
from canary.client import GatewayClient
from canary.judge import judge_fidelity
from canary.phases.fidelity import Scorer, measure_fidelity
from canary.selftest import PLANTED, SCORED_COUNT, TRAINED_COUNT, golden_programs, trained_adapter
from canary.suite import default_search_path
from gateway.contracts.builds import BuildKind, BuildRequest
from gateway.contracts.deployments import Deployment
from gateway.contracts.fidelity import FidelityJudgement
from tests.bench.environment import describe
from tests.campaign.built import building_gateway, with_good_blas

RESULTS = Path(__file__).with_suffix(".md")
SOUND_BITS = (4, 5, 6, 8)
"""The narrowest first: it comes nearest to the limits."""
_HEADER = (
    "Build",
    "KL, nats a token",
    "same likeliest",
    "deciding tokens",
    "flips",
    "retention",
    "loss, nats a byte",
    "rejected",
)


def note(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)  # noqa: T201 - a command's progress


def rows(
    gateway: GatewayClient, deployment: Deployment, *, store: Path | None
) -> Iterator[tuple[str, FidelityJudgement]]:
    goldens = golden_programs(list(default_search_path(os.environ)))
    incumbent = gateway.variant(deployment.incumbent).variant
    scorer = Scorer(gateway, goldens[TRAINED_COUNT:], model=deployment.model, note=note, store=store)
    adapter = trained_adapter(gateway, None, goldens, note)
    sound = [(f"sound, {bits} bits", BuildKind.FUSE, bits) for bits in SOUND_BITS]
    broken = [(f"{each.what}, {each.bits} bits", each.kind, each.bits) for each in PLANTED if each.broken]
    harmless = [(f"re-quantised fuse, {bits} bits", BuildKind.REQUANTISED_FUSE, bits) for bits in (8, 6)]
    for what, kind, bits in (*sound, *broken, *harmless):
        order = msgspec.convert({"kind": kind, "adapter": adapter.path, "bits": bits}, BuildRequest)
        view = gateway.register(build(gateway, order, note).path)
        gateway.load_engine(view.reference)
        judgement = judge_fidelity(measure_fidelity(scorer, view.variant, incumbent))
        gateway.unload_engine(view.reference)
        note(f"{what}: {judgement}")
        yield what, judgement


def table(found: list[tuple[str, FidelityJudgement]]) -> str:
    lines = [f"| {' | '.join(_HEADER)} |", f"|{'---|' * len(_HEADER)}"]
    for what, judgement in found:
        cells = (
            what,
            _figure(judgement.kl_nats_per_token, ".4f"),
            _figure(judgement.same_top_ratio, ".1%"),
            _figure(judgement.decision_same_top_ratio, ".1%"),
            _figure(judgement.flip_ratio, ".1%"),
            _figure(judgement.retention, ".2f"),
            _figure(judgement.loss_nats_per_byte, ".3f"),
            "yes" if judgement.rejected else "no",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _figure(value: float | None, form: str) -> str:
    return "not compared" if value is None else format(value, form)


def main() -> None:
    with_good_blas()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(file=sys.stderr))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path)
    heading = (
        "# What fidelity shows of builds\n\n"
        f"`python -m tests.campaign.fidelity`: {SCORED_COUNT} golden programs, SmolLM2-135M with an adapter, "
        f"each build against the fused model in float; at {describe().commit}.\n\n"
    )
    found: list[tuple[str, FidelityJudgement]] = []
    state: Path | None = parser.parse_args().state
    with building_gateway(state) as (gateway, deployment):
        for row in rows(gateway, deployment, store=None if state is None else state / "scores"):
            found.append(row)
            RESULTS.write_text(f"{heading}{table(found)}\n")


if __name__ == "__main__":
    main()
