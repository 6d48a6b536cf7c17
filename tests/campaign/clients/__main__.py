"""`python -m tests.campaign.clients`: whether the clients that people use work with this gateway.

    python -m tests.campaign.clients                     all of them, a quarter of an hour
    python -m tests.campaign.clients --client litellm    one of them; writes nothing

Each client runs in an environment of its own and goes through the same checks with a real gateway, which serves the
embedded model, where a grammar must hold an answer, and a scripted one. A cancellation counts where the gateway sees
the client leave. The table is written to clients.md and the README; the exit status is 1 where something does not hold.
"""

import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from tests.bench.environment import describe
from tests.campaign.clients import environments, table
from tests.campaign.clients.catalogue import CLIENTS, Check, Client, Result
from tests.support.models import embedded_model
from tests.support.programs import gateway_serving

SCRIPT = Path(__file__).with_name("script.toml")


@click.command()
@click.option("--client", "names", multiple=True, type=click.Choice([client.name for client in CLIENTS]))
def main(names: tuple[str, ...]) -> None:
    model = embedded_model()
    found: dict[Client, Sequence[Result] | str] = {}
    with tempfile.TemporaryDirectory() as scratch, gateway_serving(*_configured(Path(scratch), model)) as gateway:
        for client in CLIENTS:
            if names and client.name not in names:
                continue
            found[client] = _tried(client, gateway.url, model)
            click.echo(f"{client.name}: {found[client]}", err=True)
    rows = table.rows(found)
    click.echo(rows)
    if not names:
        environment = describe()
        table.TABLE.write_text(
            "# Clients\n\nWritten by `python -m tests.campaign.clients`, "
            f"at {environment.commit}, {environment.system}, Python {environment.python}.\n\n{rows}"
        )
        table.README.write_text(table.in_readme(rows))
    sys.exit(any(table.failures(results) for results in found.values()))


def _configured(home: Path, model: Path) -> tuple[Path, str, str]:
    """Write what the gateway serves into its home, and return its arguments."""
    scripted = home / "scripted"
    scripted.mkdir()
    shutil.copy(SCRIPT, scripted / "scripted.toml")
    served = {"scripted": scripted, "constrained": model}
    deployments = "".join(f'[[deployments]]\nmodel = "{name}"\nsource = "{path}"\n' for name, path in served.items())
    (home / "gateway.toml").write_text(deployments)
    return home, "--config", "gateway.toml"


def _tried(client: Client, gateway_url: str, model: Path) -> Sequence[Result] | str:
    """Return what the client's driver found, or why it could not."""
    try:
        command = environments.command(client, gateway_url, model=model)
    except environments.NotInstalledError as error:
        return str(error)
    done = environments.run(command)
    results = [msgspec.json.decode(line, type=Result) for line in done.stdout.splitlines() if line.startswith("{")]
    if not results:
        return [Result(check=Check.PLAIN, passed=False, remark=f"the driver ended: {done.stderr.strip()[-150:]}")]
    return results


if __name__ == "__main__":
    main()
