"""What the pages for operators tell them to do can be done."""

import re
from pathlib import Path

import click
import pytest

from canary.cli import cli as canary_cli
from gateway.cli import cli as gateway_cli
from gateway.settings import Settings

DEPLOY = Path(__file__).parents[3] / "deploy"
PAGES = [DEPLOY / "RUNBOOK.md", DEPLOY / "README.md"]
PROGRAMS: dict[str, click.Group] = {"gateway": gateway_cli, "canary": canary_cli}
COMMAND = re.compile(r"(?:`|^)(gateway|canary) ([^`#\n]+)(?:`| +#)", re.MULTILINE)
"""In a sentence between backticks, or in a block before a comment."""
SOURCES = [source.read_text("utf-8") for source in (DEPLOY.parent / "gateway").rglob("*.py")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_exist(page: Path) -> None:
    told = COMMAND.findall(page.read_text("utf-8"))
    assert told
    for name, words in told:
        command: click.Command = PROGRAMS[name]
        for word in words.split():
            if word.startswith("--"):
                options = {option for parameter in command.params for option in (*parameter.opts, "--help")}
                assert word in options, f"{name} {words}"
            elif isinstance(command, click.Group):
                assert word in command.commands, f"{name} {words}"
                command = command.commands[word]


def test_the_words_of_logs_and_labels_exist() -> None:
    text = (DEPLOY / "RUNBOOK.md").read_text("utf-8")
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", text))
    assert named
    unknown = {word for word in named if not any(re.search(rf"\b{word}\b", source) for source in SOURCES)}
    assert not unknown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_settings_exist(page: Path) -> None:
    for section, name in re.findall(r"`(engine|swap|queue)\.([\w.*]+)`", page.read_text("utf-8")):
        settings: object = getattr(Settings(state_dir="unused"), section)
        for part in name.replace("*", "interactive").split("."):
            assert hasattr(settings, part), f"{section}.{name}"
            settings = getattr(settings, part)
