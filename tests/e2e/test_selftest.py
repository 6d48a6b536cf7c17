"""`canary selftest`, whole: against itself, noise, training, builds, faults. All real but the size of the model.

So small a model with random weights learns nothing that a build could lose: that faults of weights are found shows the
embedded one alone (`tests/campaign/planted_faults.md`). One that needs no training must be found here as well.
"""

from pathlib import Path

import pytest

from canary import cli, selftest
from canary.errors import ExitCode
from gateway.contracts.builds import BuildKind
from gateway.settings import Settings
from tests.support.mini_suite import write_mini_suite
from tests.support.served import serving
from tests.support.tiny_llama import write_model

pytestmark = [pytest.mark.model, pytest.mark.timeout(600)]

_KINDS = {BuildKind.FUSE, BuildKind.WRONG_TEMPLATE}


def test_a_self_test_runs_whole_and_ends_with_its_table_and_0(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fewer = {"SAME_CASES": 12, "NOISE_DRAWS": 20, "TRAINED_COUNT": 2, "SCORED_COUNT": 4, "TRAINING_STEPS": 2}
    for name, count in fewer.items():
        monkeypatch.setattr(selftest, name, count)
    monkeypatch.setattr(selftest, "PLANTED", [each for each in selftest.PLANTED if each.kind in _KINDS])
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg-state"))
    suite = write_mini_suite(tmp_path, count=50) / "suite.toml"
    suite.write_text(suite.read_text().replace("[categories]", "max_completion_tokens = 4\n[categories]"))
    base = write_model(tmp_path / "tiny")
    (tmp_path / "state").mkdir()
    with serving(Settings(state_dir=str(tmp_path / "state")), [base]) as served:
        arguments = ["--model", str(base), "--suite", str(suite.parent), "--gateway", served.url]
        status = cli.run(["selftest", *arguments])
    printed = capsys.readouterr().out
    assert status == ExitCode.PASSED, printed
    rows = [line for line in printed.splitlines() if " yes " in line]
    planted = (
        "the model that serves, against",
        "noise, both alike",
        "noise, worse by the margin of",
        "nothing yet: the adapter",
        "a sound build",
        "wrong chat template",
    )
    assert [row.startswith(start) for row, start in zip(rows, planted, strict=True)] == [True] * len(planted), printed
    assert all(row.rstrip().endswith(" s") for row in rows), printed
