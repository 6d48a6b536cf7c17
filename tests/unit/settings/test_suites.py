"""Where suites are found."""

from pathlib import Path

import pytest

from gateway.bootstrap import gate_policy
from gateway.errors import StartError
from gateway.settings import GateSettings
from gateway.suites import find_suite_manifest, suite_search_path

MANIFEST = 'name = "mine"\npurpose = "{purpose}"\n[categories]\na = "A"\n'


def write_suite(directory: Path, purpose: str) -> None:
    directory.mkdir(parents=True)
    (directory / "suite.toml").write_text(MANIFEST.format(purpose=purpose))


def test_a_byte_order_mark_and_carriage_returns_are_formatting(tmp_path: Path) -> None:
    (tmp_path / "suites" / "own").mkdir(parents=True)
    content = 'name = "own"\r\npurpose = "A test."\r\n[categories]\r\na = "A"\r\n'
    (tmp_path / "suites" / "own" / "suite.toml").write_text(content, encoding="utf-8-sig", newline="")
    manifest = find_suite_manifest("own", state_dir=tmp_path)
    assert manifest is not None
    assert manifest.name == "own"


def test_a_suite_is_found_in_the_order_of_the_search_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    state_dir = tmp_path / "state"
    assert find_suite_manifest("mine", state_dir=state_dir) is None
    write_suite(state_dir / "suites" / "mine", "of the state directory")
    found = find_suite_manifest("mine", state_dir=state_dir)
    assert found is not None
    assert found.purpose == "of the state directory"
    write_suite(tmp_path / "suites" / "mine", "of the working directory")
    found = find_suite_manifest("mine", state_dir=state_dir)
    assert found is not None
    assert found.purpose == "of the working directory"


def test_a_path_is_taken_as_it_stands(tmp_path: Path) -> None:
    write_suite(tmp_path / "elsewhere", "anywhere")
    found = find_suite_manifest(str(tmp_path / "elsewhere"), state_dir=tmp_path)
    assert found is not None
    assert found.purpose == "anywhere"


def test_the_package_brings_suites_along(tmp_path: Path) -> None:
    assert suite_search_path(tmp_path)[-1].is_dir()


def test_an_unknown_key_is_refused_with_the_file(tmp_path: Path) -> None:
    write_suite(tmp_path / "elsewhere", "anywhere")
    file = tmp_path / "elsewhere" / "suite.toml"
    file.write_text('porpoise = "x"\n' + file.read_text())
    with pytest.raises(StartError, match=f"{file} cannot be used .*porpoise"):
        find_suite_manifest(str(tmp_path / "elsewhere"), state_dir=tmp_path)


def test_the_gate_of_a_new_deployment_asks_for_the_held_out_cases_that_the_suite_draws(tmp_path: Path) -> None:
    write_suite(tmp_path / "suites" / "mine", "any")
    assert gate_policy(GateSettings(suite="mine"), state_dir=tmp_path).heldout_per_family == 0
    with (tmp_path / "suites" / "mine" / "suite.toml").open("a") as file:
        file.write("[heldout]\ngenerator = 1\nper_family = 3\n")
    assert gate_policy(GateSettings(suite="mine"), state_dir=tmp_path).heldout_per_family == 3


def test_the_gate_of_a_new_deployment_asks_for_the_profile_of_its_suite_unless_told_another(tmp_path: Path) -> None:
    write_suite(tmp_path / "suites" / "mine", "any")

    def profile(settings: GateSettings) -> str:
        return gate_policy(settings, state_dir=tmp_path).profile

    assert profile(GateSettings(suite="mine")) == "full"
    assert profile(GateSettings(suite="absent")) == "full"
    assert profile(GateSettings(suite="mine", profile="quick")) == "quick"
    file = tmp_path / "suites" / "mine" / "suite.toml"
    file.write_text('profile = "seed"\n' + file.read_text())
    assert profile(GateSettings(suite="mine")) == "seed"


def test_profile_quick_excludes_a_larger_loss_than_the_default(tmp_path: Path) -> None:
    write_suite(tmp_path / "suites" / "mine", "any")
    file = tmp_path / "suites" / "mine" / "suite.toml"
    file.write_text('profile = "quick"\n' + file.read_text())
    bounds = {each.name: each.bound for each in gate_policy(GateSettings(suite="mine"), state_dir=tmp_path).criteria}
    assert (bounds["accuracy"], bounds["accuracy_vs_incumbent"]) == (0.80, 0.10)
