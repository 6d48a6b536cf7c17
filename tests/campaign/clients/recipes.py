"""`python -m tests.campaign.clients.recipes`: carry out the recipes of gateway/RECIPES.md as they are written.

Only the gateway's address is another. A block that is said to be in a file is written there, in a home of its own; a
block of commands is run; what it says must have the scripted model's answer, else the exit status is 1.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from gateway.settings import Settings
from tests.campaign.clients import environments
from tests.campaign.clients.catalogue import Runtime
from tests.support.served import serving

PAGE = Path(__file__).parents[3] / "gateway" / "RECIPES.md"
MODEL = "my-model"
"""As the page names it."""
ANSWER = "Paris."
"""Of the scripted model to what the page asks."""
CURL = "curl"
_WRITTEN_ADDRESS = "http://127.0.0.1:8080"
_BLOCK = re.compile(r"(?:`~/(?P<file>[^`]+)`:\n\n)?```(?P<language>\w+)\n(?P<text>.*?)```\n", re.DOTALL)
_TIMEOUT_S = 300.0
_PACKAGES: dict[str, tuple[Runtime, tuple[str, ...]]] = {
    "LangChain": (Runtime.PYTHON, ("langchain-openai==1.7.4",)),
    "aider": (Runtime.PYTHON, ("aider-chat==0.86.2",)),
    "Codex": (Runtime.NODE, ("@openai/codex@0.171.0",)),
    "Claude Code": (Runtime.NODE, ("@anthropic-ai/claude-code@2.1.332",)),
}
_PROGRAMS = {Runtime.PYTHON: "bin", Runtime.NODE: "node_modules/.bin"}


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    file: str | None
    """Where it belongs, below the home directory."""


class RecipeError(Exception):
    """A block of commands ended with another status than 0; the text is what it said."""


@click.command()
def main() -> None:
    failed = False
    with tempfile.TemporaryDirectory() as scratch, gateway(Path(scratch)) as address:
        for recipe in (CURL, *_PACKAGES):
            home = Path(scratch) / recipe.replace(" ", "-")
            home.mkdir()
            try:
                said = "\n".join(carry_out(recipe, address=address, home=home, programs=_programs(recipe)))
            except (RecipeError, environments.NotInstalledError) as error:
                said = str(error)
            holds = ANSWER in said
            failed |= not holds
            _, packages = _PACKAGES.get(recipe, (None, ()))
            click.echo(f"{' '.join((recipe, *packages))}: {'holds' if holds else said[-1000:]}")
    sys.exit(failed)


@contextmanager
def gateway(home: Path) -> Generator[str]:
    """Serve the scripted model by the page's name and give the address."""
    model = home / MODEL
    model.mkdir()
    shutil.copy(Path(__file__).with_name("script.toml"), model / "scripted.toml")
    state = home / "state"
    state.mkdir()
    with serving(Settings(state_dir=str(state)), [model]) as served:
        yield served.url


def carry_out(recipe: str, *, address: str, home: Path, programs: Path | None = None) -> list[str]:
    """Return what each block of commands wrote. Raises RecipeError."""
    path = os.pathsep.join(str(directory) for directory in (programs, environments.NODE_PROGRAMS) if directory)
    environ = {"PATH": os.pathsep.join((path, os.environ["PATH"])), "HOME": str(home)}
    said: list[str] = []
    for block in _blocks(recipe):
        text = block.text.replace(_WRITTEN_ADDRESS, address)
        if block.file is not None:
            file = home / block.file
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            continue
        interpreter = {"bash": ["bash", "-euo", "pipefail", "-c"], "python": ["python", "-c"]}[block.language]
        # Not its input: some programs read that until it ends.
        done = subprocess.run(
            [*interpreter, text],
            cwd=home,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            raise RecipeError(f"{done.stdout}\n{done.stderr}")
        said.append(done.stdout)
    return said


def _blocks(recipe: str) -> list[Block]:
    _, _, section = PAGE.read_text().partition(f"\n## {recipe}\n")
    section, _, _ = section.partition("\n## ")
    found = _BLOCK.finditer(section + "\n")
    return [Block(language=one["language"], text=one["text"], file=one["file"]) for one in found]


def _programs(recipe: str) -> Path | None:
    """Return the directory of the recipe's programs, installed at its first use. Raises NotInstalledError."""
    if recipe not in _PACKAGES:
        return None
    runtime, packages = _PACKAGES[recipe]
    return environments.installed(runtime, packages) / _PROGRAMS[runtime]


if __name__ == "__main__":
    main()
