"""What the record says of the software that made it."""

from importlib.metadata import version
from pathlib import Path

import pytest

from canary import environment
from canary.environment import code_digest, read_environment


def test_versions_name_the_packages_and_the_code_itself() -> None:
    versions = read_environment().versions
    assert versions["gateway-canary"] == version("gateway-canary")
    assert versions["code"] == code_digest()


def test_a_file_that_changes_under_one_version_makes_another_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "canary" / "environment.py"
    module.parent.mkdir()
    digests: list[str] = []
    for text in ("a = 1", "a = 1", "a = 2"):
        module.write_text(text)
        monkeypatch.setattr(environment, "__file__", str(module))
        digests.append(code_digest.__wrapped__())
    assert digests[0] == digests[1] != digests[2]
