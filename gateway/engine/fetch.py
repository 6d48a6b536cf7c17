"""`python -m gateway.engine.fetch`: a Hugging Face repository id becomes a local directory, through mlx-lm's loader."""

import contextlib
import sys
import tempfile
from pathlib import Path

import httpx
from mlx_lm.utils import _download  # pyright: ignore[reportPrivateUsage] - mlx-lm has no public name for this half

from gateway.contracts.jobs import FetchRequest
from gateway.engine.job import JobError, Report, run


def fetch(request: FetchRequest, report: Report) -> dict[str, object]:
    """Return the directory that holds the repository's files, downloaded where they are not here. Raises JobError."""
    report(0.0, f"looking for {request.repo}")
    try:
        # mlx-lm takes a relative path that exists before it takes a repository id: in here none exists.
        with tempfile.TemporaryDirectory() as empty, contextlib.chdir(empty):
            path: Path = _download(request.repo)
    except (OSError, ValueError, RuntimeError, httpx.HTTPError) as error:
        raise JobError(
            f"{request.repo} is no local model and cannot be fetched as a repository ({type(error).__name__}); "
            "check its name and the network, or give the path of a directory, starting with . or /."
        ) from error
    return {"path": str(path)}


if __name__ == "__main__":
    sys.exit(run(FetchRequest, fetch))
