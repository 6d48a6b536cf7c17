"""`gateway demo`: the whole story on the embedded model, with nothing prepared and nothing arranged."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import msgspec
from rich.console import Console

from gateway.bootstrap import bootstrap
from gateway.embedded import MODEL_NAME, SERVED_BITS, embedded_builds
from gateway.errors import StartError
from gateway.fleet.blas import INSTALL_HINT
from gateway.progress import Progress
from gateway.registry import Registry
from gateway.server import blas_of, serve
from gateway.service import Gateway
from gateway.settings import DeploymentSettings, GateSettings, LogSettings, Settings
from gateway.telemetry.logs import set_up_logging

CANDIDATE_BITS = (5, 4)

_SUITE = "smoke"
_FULL_TAG = "demo"
"""40 cases."""
_QUICK_TAG = "quick"
"""A dozen, for a machine whose prompts take 20 times as long."""
_VERDICTS = {0, 10, 11, 13}
"""Exit codes of canary that are a verdict; others mean that the story broke off."""
_INTERRUPTED = 130


async def run_demo(settings: Settings, *, exit_when_done: bool) -> int:
    """Run the demo and serve on until a signal; return the exit status.

    Its registry is a directory of its own under the state directory and starts afresh each time; converted models stay.
    """
    console = Console(soft_wrap=True, highlight=False)
    tag = _choose_tag(console, settings)
    home = Path(settings.state_dir) / "demo"
    log_path = _make_home(home)
    with log_path.open("w", encoding="utf-8") as log:
        set_up_logging(LogSettings(format="json"), log)
        story = _Story(console, models=Path(settings.state_dir), log=log.name, tag=tag, exit_when_done=exit_when_done)
        own = msgspec.structs.replace(settings, state_dir=str(home))
        await serve(own, prepare=story.prepare, when_ready=story.tell)
    story.say("Stopped.")
    return story.status


class _Story:
    """What the demo serves, and what it does once that is ready."""

    def __init__(self, console: Console, *, models: Path, log: str, tag: str, exit_when_done: bool) -> None:
        self.status = 0
        self._console = console
        self._models = models
        self._log = log
        self._tag = tag
        self._exit_when_done = exit_when_done
        self._candidates: list[Path] = []
        self._started_s = time.monotonic()

    def say(self, sentence: str) -> None:
        """Print it behind the time since the start: how long a step takes is the machine's to say."""
        minutes, seconds = divmod(int(time.monotonic() - self._started_s), 60)
        self._console.print(f"[{minutes}:{seconds:02}] {sentence}", markup=False)

    async def prepare(self, gateway: Gateway, registry: Registry) -> None:
        """Build the variants, and deploy the served one afresh whatever an earlier demo left."""
        self.say("1. The embedded model, and its builds at 8, 5 and 4 bits, made by mlx-lm's own quantiser")
        with Progress() as progress:
            builds = await embedded_builds(
                (SERVED_BITS, *CANDIDATE_BITS), state_dir=self._models, on_progress=progress.show
            )
        self._candidates = [builds[width] for width in CANDIDATE_BITS]
        deployment = DeploymentSettings(
            model=MODEL_NAME, source=str(builds[SERVED_BITS]), gate=GateSettings(suite=_SUITE, tag=self._tag)
        )
        await registry.delete_deployment(MODEL_NAME)
        await gateway.start()
        await bootstrap(gateway, registry, (deployment,), must_match=True, on_progress=_silent)
        self.say(f"2. Serving the {SERVED_BITS}-bit build as {MODEL_NAME}; the log is {self._log}")

    async def tell(self, url: str) -> None:
        """Judge the candidates by the command that a person would use, then say how to go on."""
        command = ["promote", *map(str, self._candidates), "--suite", _SUITE, "--tag", self._tag, "--gateway", url]
        names = " and ".join(path.name for path in self._candidates)
        self.say(f"3. Judging {names} against it: canary promote ... --suite {_SUITE} --tag {self._tag}\n")
        judge = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "canary", *command, stdin=asyncio.subprocess.DEVNULL
        )
        try:
            code = await judge.wait()
        except asyncio.CancelledError:
            judge.terminate()
            await judge.wait()
            raise
        if code == _INTERRUPTED:
            return  # Ctrl-C reaches canary too, and the server is about to stop
        self.status = 0 if code in _VERDICTS else 1
        self._console.print()
        self.say(_invitation(url))
        if self._exit_when_done:
            signal.raise_signal(signal.SIGTERM)
        else:
            self.say("Serving on; Ctrl-C stops.")


def _make_home(home: Path) -> Path:
    """Make the directory and return where its log is to lie; only the owner's, as what `gateway serve` makes."""
    log = home / "gateway.log"
    try:
        for directory in (home.parent, home):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        log.touch(mode=0o600)
    except OSError as error:
        raise StartError(
            f"state directory {home} cannot be made ({error.strerror}); name another with --state-dir."
        ) from error
    return log


def _choose_tag(console: Console, settings: Settings) -> str:
    """Take all of the demo's cases where prompts are fast, a dozen where they are not, and say which."""
    slow = os.uname().sysname == "Linux" and blas_of(settings.engine) is None
    tag = _QUICK_TAG if slow else _FULL_TAG
    if slow:
        console.print(f"No fast BLAS was found, so a dozen cases must do. For all 40, install one: {INSTALL_HINT}")
    return tag


def _invitation(url: str) -> str:
    # Greedy, as the cases were asked: drawn at random, a model as small as this one babbles.
    body = (
        f'{{"model": "{MODEL_NAME}", "temperature": 0, '
        '"messages": [{"role": "user", "content": "What is the capital of France?"}]}'
    )
    # Beside this Python, and found there whether or not its environment is active in the reader's shell.
    canary, here = Path(sys.executable).with_name("canary"), Path.cwd()
    canary = canary.relative_to(here) if canary.is_relative_to(here) else canary
    return (
        f"4. Try it:\n"
        f"   curl {url}/v1/chat/completions -H 'content-type: application/json' -d '{body}'\n"
        f"   {canary} history --gateway {url}\n"
        f"   {canary} rollback --gateway {url}\n"
    )


def _silent(_share: float, _message: str) -> None:
    """The builds were made a moment ago; reading them takes no time worth showing."""
