"""`gateway service install|status|uninstall`: the gateway as a service of this user, by launchd or systemd."""

import os
from pathlib import Path

import click
import msgspec

from gateway.daemon.launchd import Launchd
from gateway.daemon.plan import make_plan
from gateway.daemon.service_manager import Manager, ManagerName, Run, run_command, this_manager
from gateway.daemon.systemd import Systemd
from gateway.errors import StartError
from gateway.settings_flags import load, takes_settings

manager_option = click.option(
    "--manager",
    type=click.Choice([name.value for name in ManagerName]),
    help="Whose form to write; this system's unless another is named, as for --dry-run.",
)


@click.group("service")
def service_command() -> None:
    """Have the system run the gateway: start it at login, and again after a crash."""


@service_command.command()
@takes_settings
@manager_option
@click.option("--dry-run", is_flag=True, help="Print the file and change nothing.")
def install(config: Path | None, manager: str | None, *, dry_run: bool, **flags: object) -> None:
    """Check the settings, write the service's file, and start it. To do it again changes what has changed."""
    loaded = load(config, flags)
    name = ManagerName(manager) if manager else this_manager()
    it = manager_of(name, run_command)
    plan = make_plan(loaded, name, config=config, flags=flags, default_log_file=it.default_log_file)
    content = it.content(plan)
    if dry_run:
        click.echo(content.decode(), nl=False)
        return
    before = _read_ours(it)
    it.require()
    if content != before:
        _write(it.file, content)
    it.start(changed=content != before)
    click.echo(f"{it.file} {'is as it was' if content == before else 'written'}; the gateway is started.")
    click.echo("`gateway service status` says how it is, `gateway status` what it serves.")


@service_command.command()
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def status(form: str) -> None:
    """Show whether it is installed and runs, how it last ended, and where its logs are."""
    seen = manager_of(this_manager(), run_command).status()
    if form == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(seen), indent=2))
        return
    click.echo(f"installed: {'yes' if seen.installed else 'no'} ({seen.file})")
    click.echo(f"running:   {f'yes, process {seen.pid}' if seen.running else 'no'} ({seen.state})")
    restarts = f", started again {seen.restarts} times" if seen.restarts else ""
    click.echo(f"last exit: {seen.last_exit or 'none that failed'}{restarts}")
    click.echo(f"logs:      {seen.logs}")


@service_command.command()
def uninstall() -> None:
    """End the gateway and remove the service's file. Models, registry and logs stay."""
    it = manager_of(this_manager(), run_command)
    if _read_ours(it) is None:
        click.echo("No service is installed.")
        return
    it.stop()
    it.file.unlink()
    it.forget()
    click.echo(f"{it.file} is removed; the state directory and the logs stay.")


def manager_of(name: ManagerName, run: Run) -> Manager:
    home = Path(os.environ.get("HOME") or Path.home())
    match name:
        case ManagerName.LAUNCHD:
            return Launchd(home=home, run=run)
        case ManagerName.SYSTEMD:
            return Systemd(config_home=Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config"), run=run)


def _read_ours(manager: Manager) -> bytes | None:
    """Return the file that an install has written; None where there is none. Raises StartError for another's."""
    try:
        content = manager.file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StartError(f"{manager.file} cannot be read ({error.strerror}): give this user the right to") from error
    if not manager.is_ours(content):
        raise StartError(f"{manager.file} is not what `gateway service install` writes: move it away first")
    return content


def _write(file: Path, content: bytes) -> None:
    """Put it there whole: the manager may read it at any time."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".partial")
        partial.write_bytes(content)
        partial.chmod(0o644)  # launchd reads no file that others may write
        partial.replace(file)
    except OSError as error:
        raise StartError(f"{file} cannot be written ({error.strerror}): give this user the right to") from error
