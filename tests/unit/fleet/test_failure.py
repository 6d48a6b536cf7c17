"""How a process failed, from what its parent can know."""

import signal

import pytest

from gateway.contracts.admin import FailureReason
from gateway.fleet.failure import Cause, Failure, ProcessExit, failure_of

METAL = (
    "libc++abi: terminating due to uncaught exception of type std::runtime_error: [METAL] Command buffer execution "
    "failed: Insufficient Memory (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)"
)
METAL_TIMEOUT = (
    "libc++abi: terminating due to uncaught exception of type std::runtime_error: [METAL] Command buffer execution "
    "failed: Caused GPU Timeout Error (00000002:kIOGPUCommandBufferCallbackErrorTimeout)"
)
CPP = ("terminate called after throwing an instance of 'std::bad_alloc'", "  what():  std::bad_alloc".strip())


def failed(status: int, *last_lines: str, loading: bool = False, cause: Cause | None = None) -> Failure:
    return failure_of(ProcessExit(status=status, last_lines=last_lines), loading=loading, cause=cause)


@pytest.mark.parametrize(
    ("status", "last_lines", "reason"),
    [
        (-signal.SIGKILL, (), FailureReason.KILLED),
        (-signal.SIGSEGV, (), FailureReason.CRASHED),
        (-signal.SIGABRT, (), FailureReason.CRASHED),
        (-signal.SIGABRT, (METAL_TIMEOUT,), FailureReason.CRASHED),
        (70, (), FailureReason.EXITED),
        (0, (), FailureReason.EXITED),
        (-signal.SIGABRT, (METAL,), FailureReason.OUT_OF_MEMORY),
        (-signal.SIGABRT, CPP, FailureReason.OUT_OF_MEMORY),
        (70, ("  File x, line 3", "MemoryError in the text thread"), FailureReason.OUT_OF_MEMORY),
    ],
)
def test_failures_are_told_apart(status: int, last_lines: tuple[str, ...], reason: FailureReason) -> None:
    assert failed(status, *last_lines).reason is reason


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_what_was_written_before_proves_nothing_of_a_signal_that_gives_no_time_for_words(number: int) -> None:
    """A request that met MemoryError a second ago lived on; the kill may be anybody's."""
    assert failed(-number, "MemoryError").reason is not FailureReason.OUT_OF_MEMORY


def test_a_process_that_was_never_ready_failed_to_start() -> None:
    assert failed(1, "ModuleNotFoundError: No module named 'mlx'", loading=True).reason is FailureReason.START_FAILED
    assert failed(-signal.SIGSEGV, loading=True).reason is FailureReason.START_FAILED


def test_a_start_that_was_killed_or_ran_out_of_memory_is_told_as_that() -> None:
    assert failed(-signal.SIGKILL, loading=True).reason is FailureReason.KILLED
    assert failed(-signal.SIGABRT, METAL, loading=True).reason is FailureReason.OUT_OF_MEMORY
    refused = Cause(FailureReason.START_FAILED, "The weights cannot be read: [malloc] Unable to allocate 9 bytes.")
    assert failed(-signal.SIGKILL, loading=True, cause=refused).reason is FailureReason.OUT_OF_MEMORY


def test_what_the_parent_killed_is_not_taken_for_killed() -> None:
    hung = Cause(FailureReason.HUNG, "It took no step.")
    failure = failed(-signal.SIGKILL, cause=hung)
    assert (failure.reason, failure.sentence, failure.signal_name) == (
        FailureReason.HUNG,
        "It took no step.",
        "SIGKILL",
    )
    late = Cause(FailureReason.START_FAILED, "The engine did not load within 600 s.")
    assert failed(-signal.SIGKILL, loading=True, cause=late).reason is FailureReason.START_FAILED


@pytest.mark.parametrize(
    "line",
    [
        "thread '<unnamed>' panicked at 'byte index 3 is not a char boundary; it is inside a secret'",
        "ValueError: my secret cannot be tokenised",
        "a secret MemoryError",
    ],
)
def test_a_line_that_may_quote_a_request_is_not_repeated_once_requests_run(line: str) -> None:
    assert "secret" not in failed(70, line).sentence
    assert "secret" in failed(70, line, loading=True).sentence


@pytest.mark.parametrize("line", [METAL, METAL_TIMEOUT, *CPP, "MemoryError in the prompt thread"])
def test_a_line_of_a_known_make_is_repeated(line: str) -> None:
    assert failed(-signal.SIGABRT, line, "secret").sentence.endswith(line)


def test_an_unknown_signal_has_a_number() -> None:
    assert "signal 99" in failed(-99).sentence
