"""Read a system's memory: at rest, at contexts up to the declared one, and after many equal requests."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from canary.client import GatewayClient
from canary.phases.asking import engine_of, production_between, request_of
from canary.suite import Suite
from gateway.contracts.chat import ChatMessage
from gateway.contracts.evaluations import Completion, ErrorCause, System, TrialError
from gateway.contracts.memory import ContextReading, MemoryReading, MemoryRecord
from gateway.contracts.suites import MemoryProtocol

_WORD = "word "
_PROBES = (16, 144)
"""Words of the two requests that tell how many tokens a prompt of words comes to."""
_PARTS = (0.25, 0.5, 0.75, 1.0)
"""Of the declared context, at each of which the peak is read."""
_ANSWER_TOKENS = 4
_CONTEXT_ANSWER_TOKENS = 2


class _Failed(Exception):
    def __init__(self, error: TrialError) -> None:
        super().__init__(f"{error.code}: {error.message}")
        self.error = error


def measure_memory(
    gateway: GatewayClient,
    position: int,
    system: System,
    suite: Suite,
    *,
    model: str,
    may_reload: bool,
    note: Callable[[str], None],
) -> MemoryRecord:
    """Read the memory of one system as the suite's protocol says, with nothing else in flight on its engine.

    `may_reload` says that nobody else needs its engine, so that it can be unloaded for a while.
    """
    protocol = suite.manifest.protocol.memory or MemoryProtocol()
    note(f"Reading the memory of {system.variant.reference}.")
    memory, before = gateway.status().memory, gateway.engines()
    record = MemoryRecord(
        system=position,
        limit_bytes=memory.limit_bytes - memory.reserve_bytes,
        context_tokens=protocol.context_tokens,
        swap_before_bytes=gateway.host().state.swap_used_bytes,
    )
    if protocol.reload and may_reload:
        cold_s, warm_s = _load_times(gateway, system)
        record = msgspec.structs.replace(record, load_time_cold_s=cold_s, load_time_warm_s=warm_s)
    reader = _Reader(gateway, system, suite, model=model)
    try:
        record = msgspec.structs.replace(record, steady=reader.rest())
        for reading in reader.contexts(protocol.context_tokens):
            record = msgspec.structs.replace(record, contexts=(*record.contexts, reading))
        record = msgspec.structs.replace(record, after_request=tuple(reader.repeats(protocol.repeats)))
    except _Failed as failed:
        own = failed.error.cause is ErrorCause.CANDIDATE
        record = msgspec.structs.replace(record, problem=str(failed), candidate_failed=own)
    return msgspec.structs.replace(
        record,
        swap_after_bytes=gateway.host().state.swap_used_bytes,
        production_requests=production_between(before, gateway.engines()),
    )


class _Reader:
    def __init__(self, gateway: GatewayClient, system: System, suite: Suite, *, model: str) -> None:
        self._gateway = gateway
        self._system = system
        self._manifest = suite.manifest
        self._model = model
        self._tokens = (0.0, 1.0)
        """Of an empty prompt, and of each word."""

    def rest(self) -> MemoryReading:
        """Warm up, learn how long a word is, and read."""
        few, many = (self._ask(words, _ANSWER_TOKENS).prompt_tokens for words in _PROBES)
        each = max((many - few) / (_PROBES[1] - _PROBES[0]), 1e-3)
        self._tokens = (few - each * _PROBES[0], each)
        return self._read()

    def contexts(self, declared_tokens: int) -> Iterator[ContextReading]:
        for part in _PARTS:
            empty, each = self._tokens
            words = max(int((part * declared_tokens - _CONTEXT_ANSWER_TOKENS - empty) / each), 1)
            answer = self._ask(words, _CONTEXT_ANSWER_TOKENS)
            yield ContextReading(tokens=answer.prompt_tokens + answer.completion_tokens, reading=self._read())

    def repeats(self, count: int) -> Iterator[MemoryReading]:
        for _ in range(count):
            self._ask(_PROBES[0], _ANSWER_TOKENS)
            yield self._read()

    def _ask(self, words: int, tokens: int) -> Completion:
        messages = (ChatMessage(role="user", content=_WORD * words),)
        request = request_of(messages, self._manifest, model=self._model, max_completion_tokens=tokens)
        result = self._gateway.complete(request, self._system.variant)
        if isinstance(result, TrialError):
            raise _Failed(result)
        return result

    def _read(self) -> MemoryReading:
        engine = engine_of(self._system, self._gateway.engines())
        if engine is None:
            raise _Failed(TrialError(code="not_loaded", message="its engine is gone", cause=ErrorCause.INFRASTRUCTURE))
        memory = engine.memory
        return MemoryReading(
            active_bytes=memory.active_bytes,
            cache_bytes=memory.cache_bytes,
            peak_bytes=memory.busy_peak_bytes,
            footprint_bytes=memory.footprint_bytes,
        )


def _load_times(gateway: GatewayClient, system: System) -> tuple[float | None, float | None]:
    """Load the engine anew, twice: with its files out of the system's cache where that can be had, then with them."""
    reference = system.variant.reference
    gateway.unload_engine(reference)
    is_cold = forget_files(Path(system.variant.engine.path))
    first_s = gateway.load_engine(reference).load_time_s
    gateway.unload_engine(reference)
    return first_s if is_cold else None, gateway.load_engine(reference).load_time_s


def forget_files(directory: Path) -> bool:
    """Have the system drop its cached pages of the directory's files, and say whether it could be asked to.

    Linux alone takes such a wish from everybody; the directory must be on this machine.
    """
    advise = getattr(os, "posix_fadvise", None)
    files: Sequence[Path] = [path for path in directory.glob("*") if path.is_file()] if directory.is_dir() else ()
    if advise is None or not files:
        return False
    for path in files:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            advise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
    return True
