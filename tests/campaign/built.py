"""A gateway with the embedded model for the campaigns that build, in a state directory that keeps the builds."""

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from canary.client import GatewayClient
from gateway.contracts.deployments import Deployment
from gateway.embedded import embedded_builds
from gateway.fleet.blas import engine_environment, find_blas
from gateway.settings import Settings
from tests.support.served import serving

SERVED_BITS = 8


def with_good_blas() -> None:
    """Start this command again with the library preloaded that the engines inherit, as `gateway serve` gives it."""
    blas = find_blas()
    if blas is not None and str(blas) not in os.environ.get("LD_PRELOAD", ""):
        environment = engine_environment(os.environ, blas)
        module = sys.modules["__main__"].__spec__
        assert module is not None
        os.execve(sys.executable, [sys.executable, "-m", module.name, *sys.argv[1:]], environment)


@contextmanager
def building_gateway(state_dir: Path | None) -> Generator[tuple[GatewayClient, Deployment]]:
    """Serve the embedded model and yield a client and its Deployment; builds stay where a directory is given."""
    directory = state_dir or Path(tempfile.mkdtemp())
    directory.mkdir(parents=True, exist_ok=True)
    try:
        # The registry is made anew: it refuses a model that it deploys already.
        for file in directory.glob("registry*"):
            file.unlink()
        builds = asyncio.run(
            embedded_builds((SERVED_BITS,), state_dir=directory, on_progress=lambda _share, _what: None)
        )
        with (
            serving(Settings(state_dir=str(directory)), [builds[SERVED_BITS]]) as served,
            GatewayClient(served.url, api_key=None) as client,
        ):
            yield client, client.deployments()[0]
    finally:
        if state_dir is None:
            shutil.rmtree(directory)
