"""`canary compare`: two variants of which none need serve, judged against each other; nothing is left loaded."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from canary import cli
from canary.client import GatewayClient
from canary.errors import ExitCode
from canary.report import render_markdown
from gateway.contracts.evaluations import Evaluation, Mode, Outcome
from gateway.settings import EngineSettings, MemorySettings, Settings
from tests.support.mini_suite import write_mini_suite
from tests.support.scripted_model import write_scripted_model
from tests.support.served import Served, serving
from tests.support.swapping import ROOM_FOR_ONE, SIZE

MODELS = {"tutor": "5", "right": "4", "wrong": "3"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("compare")
    write_mini_suite(home / "suites")
    for name, text in MODELS.items():
        write_scripted_model(home / name, f'{SIZE}default_text = "{text}"\n')
    return home


@contextmanager
def gateway_of(home: Path, state_dir: Path, memory: MemorySettings) -> Generator[Served]:
    settings = Settings(state_dir=str(state_dir), memory=memory, engine=EngineSettings(stop_timeout_s=2))
    with serving(settings, [home / "tutor"]) as served:
        yield served


@pytest.fixture(scope="module")
def served(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    with gateway_of(home, tmp_path_factory.mktemp("state"), MemorySettings()) as served:
        yield served


@pytest.fixture(autouse=True)
def _at_home(  # pyright: ignore[reportUnusedFunction] - pytest uses it
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(home)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def compared(served: Served, *models: str) -> tuple[int, Evaluation]:
    code = cli.run(["compare", *models, "--suite", "mini", "--gateway", served.url])
    with GatewayClient(served.url) as gateway:
        newest, *_ = gateway.evaluations()  # by their order: several may be of one second
        return code, gateway.evaluation(newest.id)


def loaded(served: Served) -> set[str]:
    engines = httpx.get(f"{served.url}/admin/engines").raise_for_status().json()
    return {reference.partition("@")[0] for engine in engines for reference in engine["variants"]}


def test_the_second_is_judged_as_if_the_first_served(served: Served) -> None:
    code, evaluation = compared(served, "./right", "./wrong")
    assert code == ExitCode.FAILED
    assert [system.variant.name for system in evaluation.systems] == ["right", "wrong"]
    (judgement,) = evaluation.judgements
    assert judgement.verdict.outcome is Outcome.FAILED
    assert "accuracy_vs_incumbent" in judgement.verdict.decided_by
    assert evaluation.mode is Mode.RESIDENT
    assert loaded(served) == {"tutor"}


def test_where_only_one_fits_both_have_the_memory_by_loans(home: Path, tmp_path: Path) -> None:
    with gateway_of(home, tmp_path, ROOM_FOR_ONE) as served:
        code, evaluation = compared(served, "./right", "./wrong")
        assert (code, evaluation.mode) == (ExitCode.FAILED, Mode.SWAP)
        comparison = evaluation.judgements[0].comparisons[0]
        assert (comparison.incumbent.value, comparison.candidate.value, comparison.pairs) == (1.0, 0.0, 12)
        assert loaded(served) == {"tutor"}


def test_a_comparison_that_passes_promotes_nothing_and_its_report_says_so(served: Served) -> None:
    code, evaluation = compared(served, "./wrong", "./right")
    assert code == ExitCode.PASSED
    assert "this record promotes nothing" in render_markdown(evaluation)
    deployment = httpx.get(f"{served.url}/admin/deployments/tutor").json()
    refused = httpx.post(
        f"{served.url}/admin/promotions",
        json={
            "model": "tutor",
            "expected_revision": deployment["revision"],
            "variant": evaluation.candidates[0].variant.digest,
            "evaluation_id": evaluation.id,
        },
    )
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "promotion_refused")
    assert "compares two variants" in refused.json()["error"]["message"]
    assert httpx.get(f"{served.url}/admin/deployments/tutor").json() == deployment
    assert loaded(served) == {"tutor"}


def test_the_incumbent_may_be_either_of_the_two(served: Served) -> None:
    code, evaluation = compared(served, "./right", served.references["tutor"])
    assert code == ExitCode.FAILED
    assert evaluation.compared_while == evaluation.candidates[0].variant.digest
    code, evaluation = compared(served, served.references["tutor"], "./right")
    assert code == ExitCode.PASSED
    assert evaluation.compared_while is None
    assert loaded(served) == {"tutor"}


def test_what_cannot_be_found_is_a_mistake_of_usage(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["compare", "./right", "./nothing", "--gateway", served.url, "--suite", "mini"]) == ExitCode.USAGE
    assert "nothing" in capsys.readouterr().err
