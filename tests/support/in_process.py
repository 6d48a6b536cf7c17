"""A command line run in the test's own process, which has imported all of it already."""

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
    said = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(said):
        patch.chdir(cwd)
        patch.setattr(sys, "argv", ["gateway", *map(str, arguments)])
        for name, value in {"XDG_STATE_HOME": str(cwd / "xdg-state"), **(environ or {})}.items():
            patch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            main()
    code = ended.value.code
    said.seek(0)
    return (code if isinstance(code, int) else int(code is not None)), said.read()
