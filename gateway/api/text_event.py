"""Nearly every event of a stream differs from the one before in a text alone: what stands around it is encoded once."""

import msgspec

from gateway.wire import TokenDelta

_encode = msgspec.json.Encoder().encode


class TextEvent:
    """The events that are alike but for one text."""

    def __init__(self, empty: bytes, field: bytes) -> None:
        """`empty` is the event with an empty text, and `field` how the text's field begins there, such as `"text":`.

        Neither names nor values can be taken for the field: in a JSON string its quotes are escaped.
        """
        self._before, _, self._after = empty.partition(field + b'""')
        self._before += field

    def of(self, text: str) -> bytes:
        """Return the event that says this text."""
        return self._before + _encode(text) + self._after


def is_text_alone(said: TokenDelta) -> bool:
    return not (said.finish_reason or said.reasoning or said.tool_calls or said.logprobs)
