"""Where suites are found."""

from pathlib import Path

import pytest

from gateway.errors import StartError
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
