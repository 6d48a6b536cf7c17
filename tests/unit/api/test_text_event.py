"""An event made from what was encoded once has the bytes that its struct encodes to."""

from collections.abc import Callable

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.completion_form import CompletionForm
from gateway.api.form import Chunks, Head
from gateway.api.message_form import MessageChunks
from gateway.api.sse import ChunkEncoder, event
from gateway.contracts.anthropic import AddedText, AddedThinking, BlockDelta
from gateway.contracts.chat import ChatCompletionChunk, ChunkChoice, Delta, StreamOptions
from gateway.contracts.completions import CompletionChoice, CompletionRequest, TextCompletion
from gateway.wire import TokenDelta

_encode = msgspec.json.encode
_fields = st.sampled_from(['"delta":{"content":""', '"text":""', '"thinking":""', '","text":"', "\\"])
"""What a name or a text would have to hold for the event to be cut in the wrong place."""
_names = st.text(max_size=20) | _fields
_texts = (st.text(max_size=20) | _fields).filter(bool)


@st.composite
def _heads(draw: Callable[[st.SearchStrategy[str]], str]) -> Head:
    return Head(id=draw(_names), created=1, model=draw(_names), system_fingerprint=draw(_names))


def _said(text: str = "", reasoning: str = "") -> TokenDelta:
    return TokenDelta(request_id="1", text=text, reasoning=reasoning, completion_tokens=1, finish_reason=None)


def _last(chunks: Chunks, index: int, *texts: str) -> bytes:
    """Return the events of the last text, behind a first one that has what only the first has."""
    chunks.delta(index, _said("first"))
    return [chunks.delta(index, _said(text)) for text in texts][-1]


@given(head=_heads(), texts=st.lists(_texts, min_size=1, max_size=3), index=st.integers(0, 9), include=st.booleans())
def test_a_chat_chunk_of_text(head: Head, texts: list[str], index: int, *, include: bool) -> None:
    chunks = ChunkEncoder(
        completion_id=head.id,
        created=head.created,
        model=head.model,
        system_fingerprint=head.system_fingerprint,
        include_usage=include,
    )
    chunk = ChatCompletionChunk(
        id=head.id,
        created=head.created,
        model=head.model,
        system_fingerprint=head.system_fingerprint,
        choices=(ChunkChoice(index=index, delta=Delta(content=texts[-1])),),
        usage=None if include else msgspec.UNSET,
    )
    assert _last(chunks, index, *texts) == event(_encode(chunk))


@given(head=_heads(), texts=st.lists(_texts, min_size=1, max_size=3), index=st.integers(0, 9), include=st.booleans())
def test_a_completion_chunk_of_text(head: Head, texts: list[str], index: int, *, include: bool) -> None:
    options = StreamOptions(include_usage=True) if include else None
    request = CompletionRequest(model="m", prompt="p", stream=True, stream_options=options)
    chunk = TextCompletion(
        id=head.id,
        created=head.created,
        model=head.model,
        system_fingerprint=head.system_fingerprint,
        choices=(CompletionChoice(index=index, text=texts[-1], finish_reason=None),),
        usage=None if include else msgspec.UNSET,
    )
    assert _last(CompletionForm(request).chunks(head), index, *texts) == event(_encode(chunk))


@given(head=_heads(), texts=st.lists(_texts, min_size=1, max_size=3))
def test_a_piece_of_a_message_in_whichever_block(head: Head, texts: list[str]) -> None:
    chunks = MessageChunks(head, thinking_shown=True)
    chunks.delta(0, _said(reasoning="first"))
    for text in texts:
        thought = BlockDelta(index=0, delta=AddedThinking(thinking=text))
        assert chunks.delta(0, _said(reasoning=text)) == b"event: content_block_delta\ndata: %b\n\n" % _encode(thought)
    said = BlockDelta(index=1, delta=AddedText(text=texts[-1]))
    assert _last(chunks, 0, *texts) == b"event: content_block_delta\ndata: %b\n\n" % _encode(said)
