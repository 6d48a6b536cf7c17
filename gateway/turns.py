"""Put into one message what one side says in several: chat templates take sides in turn, and one system message."""

import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence

from gateway.contracts.messages import ChatMessage


def in_turns(messages: Iterable[ChatMessage], *, joining: Collection[str]) -> Iterator[ChatMessage]:
    """Yield the messages, those that follow each other in one of these roles joined by paragraphs."""
    for role, run in itertools.groupby(messages, key=lambda message: message.role):
        if role in joining:
            yield _joined(list(run))
        else:
            yield from run


def paragraphs(texts: Iterable[str | None]) -> str:
    return "\n\n".join(text for text in texts if text)


def _joined(run: Sequence[ChatMessage]) -> ChatMessage:
    if len(run) == 1:
        return run[0]
    calls = itertools.chain.from_iterable(message.tool_calls or () for message in run)
    return ChatMessage(
        role=run[0].role,
        content=paragraphs(message.text for message in run),
        reasoning_content=paragraphs(message.reasoning_content for message in run) or None,
        tool_calls=tuple(calls) or None,
    )
