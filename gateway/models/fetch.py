"""Bring a Hugging Face repository to this machine, in a child process: the loader that does it imports MLX."""

from pathlib import Path

from gateway.contracts.jobs import FetchRequest
from gateway.fleet.jobs import run_job
from gateway.models.digest import OnProgress
from gateway.models.source import HubRepository


async def fetch_repository(repository: HubRepository, *, on_progress: OnProgress, timeout_s: float) -> Path:
    """Return the directory that holds the repository's files. Raises InvalidRequest with the loader's sentence."""
    request = FetchRequest(repo=repository.id)
    result = await run_job("gateway.engine.fetch", request, on_progress=on_progress, timeout_s=timeout_s)
    return Path(str(result["path"]))
