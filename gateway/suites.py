"""Where suites are found, and the part of one that the gate's policy is made of."""

from pathlib import Path

import msgspec

from gateway.contracts.suites import SuiteManifest
from gateway.errors import StartError

_PACKAGE = Path(__file__).parent


def suite_search_path(state_dir: Path) -> list[Path]:
    """Return the directories that hold suites: the working directory's, the state directory's, the package's."""
    return [Path.cwd() / "suites", state_dir / "suites", _package_suites()]


def find_suite_manifest(name_or_path: str, *, state_dir: Path) -> SuiteManifest | None:
    """Read the `suite.toml` of a suite given by name, or by a path that starts with `.` or `/`; None if there is none.

    Raises StartError where the file is there and does not say what it must.
    """
    places = [Path()] if name_or_path.startswith((".", "/")) else suite_search_path(state_dir)
    for place in places:
        manifest = place / name_or_path / "suite.toml"
        if manifest.is_file():
            return _read(manifest)
    return None


def _package_suites() -> Path:
    installed = _PACKAGE / "_data" / "suites"
    return installed if installed.is_dir() else _PACKAGE.parent / "suites"


def _read(manifest: Path) -> SuiteManifest:
    try:
        # A byte order mark is formatting, as it is for canary.
        return msgspec.toml.decode(manifest.read_bytes().decode("utf-8-sig"), type=SuiteManifest)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise StartError(f"{manifest} cannot be used ({error}): correct it, or name another suite") from error
