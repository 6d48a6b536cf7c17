"""What a `scripted.toml` says: the answers, delays and faults of the scripted engine, which is the shipped fake.

A directory that holds a `scripted.toml` is a model: the gateway serves it as it serves a real one, without MLX. Its
tokens are the UTF-8 bytes of the text, so a character may take several tokens, as it may in a real vocabulary.

    context_length = 4096
    default_text = "I do not know."
    step_delay_s = 0.002

    [[answers]]
    match = "capital of France"
    text = "Paris."

    [[faults]]
    match = "CRASH"
    kind = "exit"
    at_token = 3
"""

import enum
from pathlib import Path
from typing import Annotated

import msgspec

SCRIPT_FILE = "scripted.toml"

Seconds = Annotated[float, msgspec.Meta(ge=0)]


class FaultKind(enum.StrEnum):
    EXIT = "exit"
    """The process ends at once with status 70, as by an uncaught C++ exception."""
    KILL = "kill"
    """The process ends by SIGKILL, as under memory pressure."""
    HANG = "hang"
    """The step never returns."""
    RAISE = "raise"
    """The step raises, as an error inside MLX does; the process lives."""


class ScriptedAnswer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first answer whose pattern is found in the last user message is given."""

    match: str
    """A regular expression, searched for."""
    text: str
    step_delay_s: Seconds = 0.0
    """Added to the model's for each step that this answer takes part in."""


class ScriptedFault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What goes wrong while a request runs whose last user message matches."""

    match: str
    kind: FaultKind
    at_token: Annotated[int, msgspec.Meta(ge=1)] = 1
    """The step that would give the request's n-th token meets the fault instead."""


class ScriptedModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file; every key has a default, so an empty file is a model that always says the same."""

    answers: tuple[ScriptedAnswer, ...] = ()
    default_text: str = "This is a scripted answer."
    faults: tuple[ScriptedFault, ...] = ()
    step_delay_s: Seconds = 0.0
    """Of each step, however many rows take part."""
    load_delay_s: Seconds = 0.0
    load_failure: str | None = None
    """Loading fails with this sentence, after `load_delay_s`."""
    context_length: Annotated[int, msgspec.Meta(ge=1)] = 8192
    """Tokens, that is bytes, of prompt and completion together."""
    weights_bytes: Annotated[int, msgspec.Meta(ge=0)] = 1_048_576
    """Declared, not held: what the memory budget counts and what the engine reports as active."""
    kv_bytes_per_token: Annotated[int, msgspec.Meta(ge=0)] = 1_024
    leak_bytes_per_request: Annotated[int, msgspec.Meta(ge=0)] = 0
    """That each request leaves behind, as the engine reports it."""
    disk_bytes: Annotated[int, msgspec.Meta(ge=0)] = 1_048_576
    keeps_cancelled: bool = False
    """Rows of cancelled requests decode on, as by an engine that loses its cancellations."""
    score_error: float = 0.0
    """Added to each log-probability that a score tells of a token, as by an engine that scores wrongly."""


def read_script(directory: Path) -> ScriptedModel:
    """Read the directory's `scripted.toml`.

    Raises OSError where it cannot be read and msgspec.ValidationError or msgspec.DecodeError, whose text names the
    key, where it does not say what it must.
    """
    return msgspec.toml.decode((directory / SCRIPT_FILE).read_bytes(), type=ScriptedModel)
