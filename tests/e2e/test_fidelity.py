"""A sound and a spoilt build of a small model, made by the gateway, scored and judged: all real but the size.

What becomes of adapters needs one that was trained, and is in `tests/campaign/fidelity.md`.
"""

import os
from collections.abc import Generator
from pathlib import Path

import msgspec
import pytest

from canary import cli
from canary.builds import build
from canary.client import GatewayClient
from canary.errors import ExitCode
from canary.golden import Golden, golden_answers
from canary.judge import judge_fidelity
from canary.phases.fidelity import Scorer, measure_fidelity
from canary.suite import default_search_path, load_suite
from gateway.contracts.admin import VariantView
from gateway.contracts.builds import Bits, BuildKind, BuildRequest
from gateway.contracts.evaluations import Outcome, Verdict
from gateway.settings import Settings
from tests.support.mini_suite import write_mini_suite
from tests.support.served import serving
from tests.support.tiny_llama import write_model

pytestmark = [pytest.mark.model, pytest.mark.timeout(120)]


class Bench(msgspec.Struct, frozen=True, kw_only=True):
    url: str
    gateway: GatewayClient
    base: Path
    scorer: Scorer
    incumbent: VariantView

    def build(self, kind: BuildKind, bits: Bits | None = None) -> str:
        return build(self.gateway, BuildRequest(kind=kind, model=str(self.base), bits=bits), lambda _: None).path


def _goldens() -> tuple[Golden, ...]:
    """Return golden programs of the shipped suite, asked for in few words."""
    suite = load_suite("phase26", search_path=default_search_path(os.environ))
    programs = [golden for golden in golden_answers(suite, most=64) if golden.answer.startswith("```")]
    return tuple(msgspec.structs.replace(golden, messages=golden.messages[-1:]) for golden in programs[:4])


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Generator[Bench]:
    base = write_model(tmp_path_factory.mktemp("tiny") / "tiny")
    settings = Settings(state_dir=str(tmp_path_factory.mktemp("state")))
    with serving(settings, [base]) as served, GatewayClient(served.url, api_key=None) as gateway:
        yield Bench(
            url=served.url,
            gateway=gateway,
            base=base,
            scorer=Scorer(gateway, _goldens(), model="tiny", note=lambda _: None),
            incumbent=gateway.variant(served.references["tiny"]),
        )


def test_a_sound_build_is_near_its_source(bench: Bench) -> None:
    view = bench.gateway.register(bench.build(BuildKind.QUANTISE, bits=8))
    record = measure_fidelity(bench.scorer, view.variant, bench.incumbent.variant)
    assert (record.against, record.reference_digest) == ("source", bench.incumbent.digest)
    sound = judge_fidelity(record)
    assert not sound.rejected, sound.findings
    assert sound.kl_nats_per_token is not None
    assert 0 < sound.kl_nats_per_token < 0.05


def test_what_was_scored_before_is_not_scored_again(bench: Bench, tmp_path: Path) -> None:
    goldens = bench.scorer.goldens[:3]
    notes: list[str] = []
    for _ in range(2):
        scorer = Scorer(bench.gateway, goldens, model="tiny", note=notes.append, store=tmp_path)
        record = measure_fidelity(scorer, bench.incumbent.variant, bench.incumbent.variant)
        assert judge_fidelity(record).kl_nats_per_token == pytest.approx(0.0, abs=1e-6)
    assert len(notes) == 1


def test_a_broken_build_is_rejected_before_any_trial_and_its_record_recomputes(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = write_mini_suite(tmp_path / "suites") / "suite.toml"
    suite.write_text(suite.read_text().replace('profile = "seed"', 'profile = "quick"'))
    monkeypatch.chdir(tmp_path)
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    broken = bench.build(BuildKind.WRONG_TEMPLATE)
    assert cli.run(["evaluate", broken, "--suite", "mini", "--gateway", bench.url]) == ExitCode.FAILED
    (summary,) = bench.gateway.evaluations()
    evaluation = bench.gateway.evaluation(summary.id)
    assert evaluation.trials == ()
    (judgement,) = evaluation.judgements
    assert (judgement.verdict.outcome, judgement.verdict.decided_by) == (Outcome.FAILED, ("fidelity",))
    assert judgement.fidelity is not None
    assert "its chat template or tokenizer is another" in judgement.fidelity.findings[0]
    record = tmp_path / "record.json"
    record.write_bytes(msgspec.json.encode(evaluation))
    assert cli.run(["judge", str(record)]) == ExitCode.FAILED
    forged = msgspec.structs.replace(judgement, verdict=Verdict(outcome=Outcome.PASSED, decided_by=()))
    record.write_bytes(msgspec.json.encode(msgspec.structs.replace(evaluation, judgements=(forged,))))
    capsys.readouterr()
    cli.run(["judge", str(record)])
    assert "verdict: passed against failed" in "".join(capsys.readouterr())
