"""Ask a system one thing outside of the trials: what both phases have in common."""

from collections.abc import Callable

from gateway.contracts.admin import EngineView
from gateway.contracts.chat import ChatMessage, ChatRequest, StreamOptions
from gateway.contracts.evaluations import System
from gateway.contracts.scheduling import SchedulingClass
from gateway.contracts.suites import SuiteManifest

Bring = Callable[[int], object]
"""Has the system at this position of the record loaded, where the systems are loaded in turn."""


def request_of(
    messages: tuple[ChatMessage, ...], manifest: SuiteManifest, *, model: str, max_completion_tokens: int
) -> ChatRequest:
    """Return a request as a trial makes it, of so many tokens."""
    return ChatRequest(
        model=model,
        messages=messages,
        stream=True,
        stream_options=StreamOptions(include_usage=True),
        max_completion_tokens=max_completion_tokens,
        temperature=manifest.temperature,
        seed=manifest.seed,
        chat_template_kwargs=manifest.template_arguments or None,
    )


def engine_of(system: System, engines: tuple[EngineView, ...]) -> EngineView | None:
    digest = system.variant.engine.digest
    return next((engine for engine in engines if engine.engine_digest == digest), None)


def production_between(before: tuple[EngineView, ...], after: tuple[EngineView, ...]) -> int:
    """Return how many requests of others ran, on any engine: those that ran already, and those that began."""
    running = sum(_production(engine.work.running) for engine in before)
    admitted = {engine.engine_digest: _production(engine.work.admitted) for engine in before}
    # An engine that was loaded meanwhile has counted from 0.
    began = sum(max(_production(engine.work.admitted) - admitted.get(engine.engine_digest, 0), 0) for engine in after)
    return running + began


def _production(by_class: dict[SchedulingClass, int]) -> int:
    return sum(count for each, count in by_class.items() if each is not SchedulingClass.EVALUATION)
