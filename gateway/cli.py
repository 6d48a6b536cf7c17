"""The command line `gateway`."""

import asyncio
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import click

from gateway.bootstrap import bootstrap
from gateway.daemon.command import service_command
from gateway.daemon.service_manager import ManagerName
from gateway.demo import run_demo
from gateway.doctor.command import doctor_command
from gateway.embedded import MODEL_NAME, SERVED_BITS, embedded_builds
from gateway.errors import AddressMissing, GatewayError, StartError
from gateway.fleet.blas import INSTALL_HINT
from gateway.keys_cli import keys_command
from gateway.progress import Progress
from gateway.quantization import quantize_model
from gateway.registry import Registry
from gateway.server import blas_of, serve
from gateway.service import Gateway
from gateway.settings import DeploymentSettings, LoadedSettings, Settings, describe
from gateway.settings_flags import load, state_dir_option, takes_settings
from gateway.status_cli import engines_command, status_command
from gateway.telemetry.logs import set_up_logging

Result = TypeVar("Result")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="gateway-canary")
def cli() -> None:
    """Serve a model behind OpenAI's API, and change it without dropping a request."""


@cli.command("serve")
@takes_settings
def serve_command(config: Path | None, **flags: object) -> None:
    """Serve. Without a configuration: the embedded default model."""
    _serve_as(config, flags)


@service_command.command("run", hidden=True)
@takes_settings
@click.option("--manager", type=click.Choice([name.value for name in ManagerName]), required=True)
def run_service(config: Path | None, manager: str, **flags: object) -> None:
    """Serve, as the service's file has it: what a restart would not mend ends with the status that prevents one."""
    try:
        _serve_as(config, flags)
    except AddressMissing:
        raise  # it may come: to be started again is right
    except StartError as error:
        click.echo(f"gateway: {error.message}", err=True)
        raise SystemExit(ManagerName(manager).refusal_status) from None


@cli.command()
@click.option("--port", type=int, default=8080, show_default=True, help="Port to bind on 127.0.0.1.")
@state_dir_option
@click.option("--exit-when-done", is_flag=True, help="Stop after the verdict instead of serving on.")
def demo(port: int, state_dir: str | None, exit_when_done: bool) -> None:
    """Show the whole story on the embedded model: serve, judge two candidates, promote or refuse, keep serving."""
    loaded = load(None, {"port": port, "state_dir": state_dir})
    raise SystemExit(_run(run_demo(loaded.settings, exit_when_done=exit_when_done)))


@cli.command("check-config")
@takes_settings
def check_config(config: Path | None, **flags: object) -> None:
    """Print every setting with its origin, or the first that is wrong."""
    loaded = load(config, flags)
    rows = describe(loaded)
    path_width, value_width = (max(len(row[column]) for row in rows) for column in (0, 1))
    for path, value, origin in rows:
        click.echo(f"{path:<{path_width}}  {value:<{value_width}}  {origin}")


@cli.command()
@click.argument("model")
@click.option("--bits", default="4,5,6,8", show_default=True, help="Widths to build, separated by commas.")
@click.option("--group-size", type=int, default=64, show_default=True, help="Weights that share a scale: 32, 64, 128.")
@click.option("--out", type=click.Path(path_type=Path), default=Path(), help="Directory in which the builds are made.")
def quantize(model: str, bits: str, group_size: int, out: Path) -> None:
    """Build quantised variants of MODEL, each in a directory of its own."""
    builds = _run(quantize_model(model, bits=bits, group_size=group_size, out=out))
    for width, path in builds.items():
        click.echo(f"{width}-bit: {path}")


cli.add_command(status_command)
cli.add_command(engines_command)
cli.add_command(keys_command)
cli.add_command(doctor_command)
cli.add_command(service_command)


def main() -> None:
    """Run the command line; every failure is one line on standard error."""
    try:
        cli.main(standalone_mode=True)
    except GatewayError as error:
        click.echo(f"gateway: {error.message}", err=True)
        raise SystemExit(1) from None


def _serve_as(config: Path | None, flags: dict[str, object]) -> None:
    loaded = load(config, flags)
    set_up_logging(loaded.settings.log)
    _warn_of_slow_blas(loaded)
    _run(_serve(loaded, model_given=flags["model"] is not None))


async def _serve(loaded: LoadedSettings, *, model_given: bool) -> None:
    settings = loaded.settings
    with Progress() as progress:

        async def prepare(gateway: Gateway, registry: Registry) -> None:
            deployments = settings.deployments or (await _embedded(settings, progress),)
            await gateway.start()
            await bootstrap(gateway, registry, deployments, must_match=model_given, on_progress=progress.show)

        await serve(settings, prepare=prepare)


async def _embedded(settings: Settings, progress: Progress) -> DeploymentSettings:
    builds = await embedded_builds((SERVED_BITS,), state_dir=Path(settings.state_dir), on_progress=progress.show)
    return DeploymentSettings(model=MODEL_NAME, source=str(builds[SERVED_BITS]))


def _warn_of_slow_blas(loaded: LoadedSettings) -> None:
    if os.uname().sysname == "Linux" and blas_of(loaded.settings.engine) is None:
        click.echo(f"gateway: no fast BLAS was found, so models will be slow here: {INSTALL_HINT}", err=True)


def _run(work: Coroutine[Any, Any, Result]) -> Result:
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
