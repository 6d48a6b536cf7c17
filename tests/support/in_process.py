"""A command line run in the test's own process: a tenth of the time of a process of its own, and all of the command."""

import io
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest


def called(
    main: Callable[[], None], *arguments: str | Path, cwd: Path, environ: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Call a program's `main` as its script does, in that directory; return the exit status and what it said."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(said):
        patch.chdir(cwd)
        patch.setattr(sys, "argv", ["gateway", *map(str, arguments)])
        for name, value in {"XDG_STATE_HOME": str(cwd / "xdg-state"), **(environ or {})}.items():
            patch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            main()
    code = ended.value.code
    return (code if isinstance(code, int) else int(code is not None)), said.getvalue()
