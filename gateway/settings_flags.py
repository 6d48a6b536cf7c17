"""The options that settings are made of, for each command that takes them."""

import os
from collections.abc import Callable
from pathlib import Path

import click

from gateway.settings import LoadedSettings, load_settings

Command = Callable[..., None]

state_dir_option = click.option("--state-dir", help="Directory of the registry and of converted models.")
_SETTINGS = (
    click.option("--config", type=click.Path(path_type=Path), help="TOML file; its settings stand above the defaults."),
    click.option("--host", help="Address to bind. Any but loopback demands configured API keys."),
    click.option("--port", type=int, help="Port to bind; 0 takes a free one."),
    state_dir_option,
    click.option("--log-file", help="File to log to in place of standard error; it is rotated."),
    click.option("--model", help="A directory (starts with . or /), a registered variant, or a Hugging Face id."),
)


def takes_settings(command: Command) -> Command:
    """Give a command the options that settings are made of."""
    for option in reversed(_SETTINGS):
        command = option(command)
    return command


def load(config: Path | None, flags: dict[str, object]) -> LoadedSettings:
    """Load the settings; `flags` is what click gathered for the options, by their names in Python."""
    named = {f"--{name.replace('_', '-')}": value for name, value in flags.items()}
    return load_settings(config, environ=os.environ, flags=named)
