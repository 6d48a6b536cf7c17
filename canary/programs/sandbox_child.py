"""The sandbox's child process: one socket, the belt, and Monty. The one file that imports `pydantic_monty`.

The parent's requests come over the socket whose descriptor is the first argument. Model output is read by Monty's own
worker, a process below this one; what this process does with it is `ast.parse`, and no more.
"""

import contextlib
import datetime
import socket
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, cast

import msgspec
import pydantic_monty as monty

from canary.programs import belt, diagnosis
from canary.programs.behaviour import Behaviour, Effect, Failure, FailureKind
from canary.programs.messages import ConnectionEnded, Hello, Limits, Reply, Request, receive, send
from canary.programs.source import Source, read_source
from canary.programs.tools import Arguments, Catalogue
from canary.programs.values import TooLarge, plain
from canary.programs.worlds import NoReturn, World, return_key

# A program that asks for the time or a random number gets the same ones in every run; none waits.
_POLICY: monty.OSPolicy = {
    "datetime": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    "sleep": "zero",
    "random_start": {"seed": 0},
}
_REQUEST_TIMEOUT_S = 30.0
"""Of Monty's worker between two host calls, for a worker that its own limits do not stop."""


class _Desk:
    """Where the program's calls arrive: each is bound, looked up in the world, and noted if it has an effect."""

    def __init__(self, tools: Catalogue, world: World, limits: Limits) -> None:
        self._tools = tools
        self._world = world
        self._left = limits.calls_count
        self.effects: list[Effect] = []
        self.reads: list[tuple[str, str]] = []
        self.last_complaint: str | None = None
        self.too_many = False

    def functions(self) -> dict[str, Callable[..., Any]]:
        return {name: self._function(name) for name in self._tools}

    def _function(self, name: str) -> Callable[..., Any]:
        def call(*positional: Any, **named: Any) -> Any:
            return self._call(name, positional, named)

        return call

    def _call(self, name: str, positional: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Raises TypeError for arguments that do not fit, and LookupError for what the world does not hold."""
        if not self._left:
            self.too_many = True
            raise RuntimeError("too many calls")
        self._left -= 1
        tool = self._tools[name]
        try:
            arguments = tool.bind([plain(value) for value in positional], {key: plain(named[key]) for key in named})
            returned = self._look_up(name, arguments) if tool.returns else None
        except (NoReturn, TooLarge, ValueError) as error:
            words = str(error) if isinstance(error, NoReturn) else f"{name}: {error}"
            self.last_complaint = words
            raise (LookupError if isinstance(error, NoReturn) else TypeError)(words) from error
        if tool.effect:
            self.effects.append(Effect(tool=name, arguments=arguments))
        return returned

    def _look_up(self, name: str, arguments: Arguments) -> Any:
        key = return_key(self._world, name, arguments)
        self.reads.append((name, key))
        return self._world[name][key]


class Runner:
    """Runs programs in one worker of Monty's, which is replaced when a program met a limit in it."""

    def __init__(self) -> None:
        self._pools = contextlib.ExitStack()
        self._worker_is_spent = False
        self._start_worker()

    def close(self) -> None:
        self._pools.close()

    def reply(self, request: Request) -> Reply:
        return Reply(outcomes=tuple(self._outcomes(read_source(source), request) for source in request.sources))

    def _outcomes(self, source: Source, request: Request) -> tuple[Behaviour | Failure, ...]:
        outcomes: list[Behaviour | Failure] = []
        for world in request.worlds:
            outcomes.append(self._run(source, request, world))
            if self._worker_is_spent:
                # It would take as long, or as much, again.
                outcomes += [outcomes[-1]] * (len(request.worlds) - len(outcomes))
                self._start_worker()
                break
        return tuple(outcomes)

    def _start_worker(self) -> None:
        self._pools.close()
        self._pool = self._pools.enter_context(monty.Monty(max_processes=1, request_timeout=_REQUEST_TIMEOUT_S))
        with self._pool.checkout() as session:
            session.feed_run("0")
            if session.worker_pid is not None:
                belt.forbid_processes(session.worker_pid)
        self._worker_is_spent = False

    def _run(self, source: Source, request: Request, world: World) -> Behaviour | Failure:
        desk = _Desk(request.tools, world, request.limits)
        try:
            value = self._feed(source.text_for(wants_result=request.wants_result), desk, request.limits)
            result = plain(value, max_bytes=request.limits.output_bytes) if request.wants_result else None
        except monty.MontyCrashedError as error:
            self._worker_is_spent = True
            kind = FailureKind.TIMEOUT if error.timed_out else FailureKind.SANDBOX_CRASHED
            return Failure(kind=kind, message="the sandbox's worker was stopped or ended")
        except monty.MontyError as error:
            failure, limit_met = diagnosis.diagnose(
                error.exception(), has_traceback=_has_traceback(error), source=source, complaint=desk.last_complaint
            )
            self._worker_is_spent = limit_met
            if desk.too_many:
                return Failure(kind=FailureKind.TOO_MANY_CALLS, message=f"more than {request.limits.calls_count} calls")
            return failure
        except TooLarge as error:
            return Failure(kind=FailureKind.MEMORY, message=f"result: {error}")
        if desk.too_many:  # it caught the exception and went on
            return Failure(kind=FailureKind.TOO_MANY_CALLS, message=f"more than {request.limits.calls_count} calls")
        return Behaviour(effects=tuple(desk.effects), result=result, reads=tuple(desk.reads))

    def _feed(self, text: str, desk: _Desk, limits: Limits) -> Any:
        with self._pool.checkout(
            limits={
                "max_feed_duration_secs": limits.time_s,
                "max_memory": limits.memory_bytes,
                # A name is looked up before it is called.
                "max_suspensions": 4 * limits.calls_count + 64,
            },
            os_policy=_POLICY,
        ) as session:
            return session.feed_run(
                text,
                external_lookup=desk.functions(),
                print_callback=monty.CollectString(limits.output_bytes),
            )


def _has_traceback(error: monty.MontyError) -> bool:
    return isinstance(error, monty.MontyRuntimeError) and bool(error.traceback())


def main() -> None:
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        granted = belt.put_on()
        # Monty's client looks for it at every call of a tool; to find nothing on the whole path takes most of the time.
        sys.modules["opentelemetry"] = cast("ModuleType", None)
        with contextlib.closing(Runner()) as runner:
            send(connection, Hello(belt=granted))
            while True:
                send(connection, runner.reply(msgspec.msgpack.decode(receive(connection), type=Request)))


if __name__ == "__main__":
    try:
        main()
    except ConnectionEnded:
        sys.exit(0)
