"""`gateway keys`: make, list, rotate and revoke API keys, of a gateway that runs or in the state directory of none."""

import asyncio
import functools
import re
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote

import click
import msgspec
from click.core import ParameterSource

from gateway.asking import ask, decoded, gateway_option
from gateway.contracts.keys import MAX_GRACE_S, MAX_LIMIT, CreateKey, KeyRole, KeyView, NewSecret, RotateKey
from gateway.contracts.names import KEY_NAME
from gateway.contracts.scheduling import SchedulingClass
from gateway.errors import StartError
from gateway.issued_keys import IssuedKeys
from gateway.keys import KeyRing
from gateway.registry import Registry, StateLock
from gateway.settings import LogSettings
from gateway.telemetry.logs import set_up_logging

T = TypeVar("T")
Command = Callable[..., None]

_DURATION = re.compile(r"(\d{1,9})([smhd])")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class _Place(NamedTuple):
    """Where the keys are: behind a gateway, or in the directory that no gateway uses now."""

    url: str
    state_dir: Path | None


class _Duration(click.ParamType[float]):
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        found = _DURATION.fullmatch(value)
        seconds = float(int(found[1]) * _UNIT_S[found[2]]) if found else -1.0
        if not 0 <= seconds <= MAX_GRACE_S:
            self.fail(f"{value!r} is not a time such as 90s, 30m, 1h or 2d, 30d at most", param, ctx)
        return seconds


def _takes_place(*, must_exist: bool = True) -> Callable[[Command], Command]:
    """Give the command its `place`. A directory that must not exist is made, for the first key of all."""
    state_dir_option = click.option(
        "--state-dir",
        type=click.Path(path_type=Path, file_okay=False, exists=must_exist),
        help="Change the registry there and ask no gateway; refused while one uses the directory.",
    )

    def takes_place(command: Command) -> Command:
        @functools.wraps(command)
        def placed(url: str, state_dir: Path | None, **others: Any) -> None:
            said = click.get_current_context().get_parameter_source("url") is ParameterSource.COMMANDLINE
            if said and state_dir is not None:
                raise click.UsageError("--gateway and --state-dir are two places for keys: name one.")
            command(place=_Place(url, state_dir), **others)

        return gateway_option(state_dir_option(placed))

    return takes_place


@click.group("keys")
def keys_command() -> None:
    """Make, list, rotate and revoke API keys, without a restart."""


@keys_command.command("create")
@click.argument("name")
@click.option("--role", type=click.Choice([role.value for role in KeyRole]), required=True, help="What it may do.")
@click.option(
    "--class",
    type=click.Choice([each.value for each in SchedulingClass]),
    default=SchedulingClass.INTERACTIVE.value,
    show_default=True,
    help="In which line its requests wait.",
)
@click.option("--model", "models", multiple=True, help="A model that it may ask for; again for more. All otherwise.")
@click.option("--max-concurrent", type=click.IntRange(1, MAX_LIMIT), help="Requests at a time.")
@click.option("--requests-per-min", type=click.IntRange(1, MAX_LIMIT))
@click.option("--tokens-per-min", type=click.IntRange(1, MAX_LIMIT), help="Of prompts and answers.")
@_takes_place(must_exist=False)
def create(name: str, models: tuple[str, ...], place: _Place, **grant: Any) -> None:
    """Make the key NAME and print its secret, which is shown here and never again."""
    if not re.fullmatch(KEY_NAME, name):
        raise StartError(
            f"The name {name!r} must be up to 64 letters, digits, `.`, `_` or `-`, a letter or digit first."
        )
    if "" in models:
        raise StartError("A --model has no name: leave it out for all models.")
    body = msgspec.convert({**grant, "name": name, "models": models or None}, CreateKey)
    made = _changed(place, "POST", "/admin/keys", body, lambda keys: keys.create(body), NewSecret)
    _show_secret(made)


@keys_command.command("list")
@_takes_place()
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def list_(place: _Place, form: str) -> None:
    """List the keys and what each may do, without secrets."""

    async def views(keys: IssuedKeys) -> tuple[KeyView, ...]:
        return keys.views()

    views_ = _changed(place, "GET", "/admin/keys", None, views, tuple[KeyView, ...])
    if form == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(views_), indent=2))
    elif not views_:
        click.echo("There are no keys.")
    else:
        _print_columns([_HEADER, *map(_row, views_)])


@keys_command.command("rotate")
@click.argument("name")
@click.option(
    "--grace", "grace_s", type=_Duration(), default=0.0, help="The old secret goes on for so long, as 1h; not at all."
)
@_takes_place()
def rotate(name: str, grace_s: float, place: _Place) -> None:
    """Give NAME a new secret and print it; it is shown here and never again."""
    path = f"/admin/keys/{quote(name, safe='')}/rotation"
    body = RotateKey(grace_s=grace_s)
    made = _changed(place, "POST", path, body, lambda keys: keys.rotate(name, grace_s=grace_s), NewSecret)
    _show_secret(made)


@keys_command.command("revoke")
@click.argument("name")
@_takes_place()
def revoke(name: str, place: _Place) -> None:
    """End NAME: its next request is refused, what runs goes on to its end."""
    path = f"/admin/keys/{quote(name, safe='')}"
    _changed(place, "DELETE", path, None, lambda keys: keys.revoke(name), type(None))
    click.echo(f"{name} is revoked.")


def _changed(
    place: _Place, method: Any, path: str, body: object, work: Callable[[IssuedKeys], Awaitable[T]], kind: type[T]
) -> T:
    """Ask the gateway, or do the same work on the registry itself."""
    if place.state_dir is not None:
        return asyncio.run(_in_registry(place.state_dir, work))
    answer = ask(place.url, path, method=method, body=body)
    return decoded(answer or b"null", kind, place.url)


async def _in_registry(state_dir: Path, work: Callable[[IssuedKeys], Awaitable[T]]) -> T:
    with StateLock(state_dir):
        set_up_logging(LogSettings())
        registry = await Registry.open(state_dir)
        try:
            keys = IssuedKeys(registry, KeyRing(), serving=False)
            await keys.load()
            return await work(keys)
        finally:
            await registry.close()


def _show_secret(made: NewSecret) -> None:
    """Print the secret alone to standard output, so that a script may take it."""
    click.echo(f"The secret of {made.key.name} ({made.key.role}); it is not shown again:", err=True)
    click.echo(made.secret)


_HEADER = ("name", "role", "class", "models", "at a time", "requests/min", "tokens/min", "made", "rotated")


def _row(view: KeyView) -> Sequence[str]:
    limits = (view.max_concurrent, view.requests_per_min, view.tokens_per_min)
    made = view.created_at or "in the configuration"
    return (
        view.name,
        view.role,
        view.scheduling_class,
        ", ".join(view.models or ("all",)),
        *("-" if limit is None else str(limit) for limit in limits),
        made,
        view.rotated_at or "-",
    )


def _print_columns(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
