"""`canary sweep`: a small model really fused and quantised by the gateway, judged, and laid side by side."""

import re
from collections.abc import Generator
from pathlib import Path

import pytest

from canary import cli
from canary.client import GatewayClient
from canary.errors import ExitCode
from gateway.contracts.builds import BuildKind
from gateway.settings import Settings
from tests.support.mini_suite import write_mini_suite
from tests.support.scripted_model import write_scripted_model
from tests.support.served import Served, serving
from tests.support.tiny_llama import write_adapter, write_model

pytestmark = [pytest.mark.model, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("sweep")
    write_scripted_model(home / "tutor", 'default_text = "4"')
    write_model(home / "tiny")
    write_adapter(home / "adapter")
    suite = write_mini_suite(home / "suites", name="sums", count=4) / "suite.toml"
    suite.write_text("min_pairs = 3\nmax_completion_tokens = 2\n" + suite.read_text())
    return home


@pytest.fixture(scope="module")
def served(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    with serving(Settings(state_dir=str(tmp_path_factory.mktemp("state"))), [home / "tutor"]) as served:
        yield served


@pytest.fixture(autouse=True)
def _at_home(  # pyright: ignore[reportUnusedFunction] - pytest uses it
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "xdg-state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "xdg-cache"))


def test_an_adapter_is_fused_in_float_quantised_at_each_width_and_judged(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    order = ["sweep", "./tiny", "--adapter", "./adapter", "--bits", "4,8", "--suite", "sums", "--gateway", served.url]

    # The weights are random, and so are the answers.
    assert cli.run(order) == ExitCode.FAILED

    said = capsys.readouterr()
    table = said.out[said.out.index("\nSweep\n") :]
    for bits in (4, 8):
        row = rf"tiny-fuse-{bits}bit-\w+ \(candidate\) +0% \(0/4\) +not comparable.* failed +no: tutor is"
        assert re.search(row, table), table
    assert "The base was quantised" not in table
    assert "Winner: none." in table
    assert re.search(r"tiny-fuse-4bit-\w+: \d+%", said.err)
    with GatewayClient(served.url) as gateway:
        made = [view.provenance for view in gateway.builds() if view.provenance is not None]
        assert {(each.kind, each.bits) for each in made} == {(BuildKind.FUSE, bits) for bits in (None, 4, 8)}
        assert [engine.variants for engine in gateway.engines()] == [(served.references["tutor"],)]
    unwanted, _ = re.findall(r"canary archive (\S+)", table)
    assert cli.run(["archive", unwanted, "--gateway", served.url]) == ExitCode.PASSED
    assert f"{unwanted} would be archived" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["./tiny", "--bits", "7"], "'7' is no width"),
        (["./tiny", "--bits", "4,4"], "given twice"),
        (["./missing"], "missing"),
        (["./tiny", "--adapter", "./tiny"], "adapter"),
    ],
)
def test_a_mistake_of_usage_is_2_and_one_line(
    served: Served, capsys: pytest.CaptureFixture[str], arguments: list[str], word: str
) -> None:
    assert cli.run(["sweep", *arguments, "--suite", "smoke", "--gateway", served.url]) == ExitCode.USAGE
    assert word in capsys.readouterr().err.splitlines()[-1]
