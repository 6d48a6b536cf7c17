"""What a contender is asked to do, as data, and what came of it: every contender runs the same."""

import msgspec


class Message(msgspec.Struct, frozen=True):
    role: str
    content: str


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One request."""

    messages: tuple[Message, ...]
    max_tokens: int
    fresh: bool = True
    """Whether it begins a conversation; else it goes on after the answer to the turn before."""


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """Sends its turns one after the other, each as soon as the one before is answered."""

    turns: tuple[Turn, ...]
    background: bool = False
    """Background clients start first; the others start when each of them has a token, and cut them off at the end."""
    evaluation: bool = False
    """Its requests are an evaluation's trials; only the gateway tells them from other requests."""


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    clients: tuple[Client, ...]


class Trace(msgspec.Struct, kw_only=True):
    """One request as its client saw it. Times are seconds of one monotonic clock."""

    client: int
    turn: int
    background: bool
    started_s: float
    delta_times_s: list[float] = []
    """When each piece of text came: a token, or a few that came together."""
    completion_tokens: int = 0
    ended_s: float = 0.0
    status: int = 0
    """Of HTTP; 200 where there is none; 0 where no answer came."""
    retry_after: bool = False
    error: str = ""
    """What went wrong, in a word; empty where the answer is whole, or was cut off by its own client."""
    cut: bool = False


def grown(before: tuple[Message, ...], answer: str, turn: Turn) -> tuple[Message, ...]:
    """Return the messages of a turn, given those of the one before and its answer."""
    if turn.fresh:
        return turn.messages
    return (*before, Message("assistant", answer), *turn.messages)
