"""Where suites lie, and how one is found by name."""

import importlib.resources
from collections.abc import Mapping, Sequence
from pathlib import Path

from canary.errors import SuiteError


def default_search_path(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return where suites lie: in the working directory, the gateway's state directory, the package or the checkout.

    The state directory is known here only where the variable that sets it for the gateway names it.
    """
    package = Path(str(importlib.resources.files("gateway")))
    state_dir = environ.get("GATEWAY__STATE_DIR")
    in_state = (Path(state_dir) / "suites",) if state_dir else ()
    return (Path("suites"), *in_state, package / "_data" / "suites", package.parent / "suites")


def find_suite(name_or_path: str, search_path: Sequence[Path]) -> Path:
    """Return a suite's directory: a path where it has a separator or leads with a dot, else a name to search for."""
    if "/" in name_or_path or name_or_path.startswith("."):
        if not Path(name_or_path).is_dir():
            raise SuiteError(f"{name_or_path}: no such directory")
        return Path(name_or_path)
    for folder in search_path:
        if (folder / name_or_path).is_dir():
            return folder / name_or_path
    places = ", ".join(str(folder) for folder in search_path)
    raise SuiteError(f"no suite is named {name_or_path!r}: looked in {places}. Name another, or give a path.")
