"""A completion's answers, in OpenAI's older shape."""

import codecs
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import msgspec

from gateway.api.completion import finish_reason_of
from gateway.api.errors import encode_error
from gateway.api.form import Head
from gateway.api.sse import DONE, event
from gateway.api.stream_options import includes_usage
from gateway.api.text_event import TextEvent, is_text_alone
from gateway.completions import prompts_of
from gateway.contracts.chat import Usage
from gateway.contracts.completions import CompletionChoice, CompletionLogprobs, CompletionRequest, TextCompletion
from gateway.contracts.logprobs import TokenLogprob, TopLogprob
from gateway.errors import GatewayError
from gateway.wire import TokenDelta

_encoder = msgspec.json.Encoder()


class CompletionForm:
    id_prefix = "cmpl-"

    def __init__(self, request: CompletionRequest) -> None:
        """Raises InvalidRequest."""
        self.prompts_count = len(prompts_of(request.prompt))
        self._logprobs = request.logprobs is not None
        self._echo = bool(request.echo)
        self._include_usage = includes_usage(request)

    def whole(self, head: Head, lasts: Mapping[int, TokenDelta], usage: Usage) -> TextCompletion:
        choices = tuple(
            CompletionChoice(
                index=index,
                text=last.text,
                logprobs=self._places().add(last.text, last.logprobs) if self._logprobs else None,
                finish_reason=finish_reason_of(last),
            )
            for index, last in sorted(lasts.items())
        )
        return msgspec.structs.replace(_empty(head), choices=choices, usage=usage)

    def chunks(self, head: Head) -> "CompletionChunks":
        places = self._places if self._logprobs else None
        return CompletionChunks(head, places=places, include_usage=self._include_usage)

    def named(self, error: GatewayError) -> GatewayError:
        return error

    def _places(self) -> "TokenPlaces":
        return TokenPlaces(echo=self._echo)


class CompletionChunks:
    """The text of a choice comes in chunks without a finish reason, which comes in a last one without text."""

    def __init__(self, head: Head, *, places: "Callable[[], TokenPlaces] | None", include_usage: bool) -> None:
        """`places` makes what counts the tokens of one choice, None where no log-probabilities are asked for."""
        self._empty = msgspec.structs.replace(_empty(head), usage=None if include_usage else msgspec.UNSET)
        self._include_usage = include_usage
        self._places = defaultdict[int, TokenPlaces](places) if places else None
        self._texts: dict[int, TextEvent] = {}
        """By choice."""

    def delta(self, index: int, said: TokenDelta) -> bytes:
        if self._places is None and is_text_alone(said):  # nearly every delta there is, so it goes the short way
            return self._text(index, said.text) if said.text else b""
        events = b""
        if said.text or said.logprobs:
            logprobs = self._places[index].add(said.text, said.logprobs) if self._places is not None else None
            events += self._event(CompletionChoice(index=index, text=said.text, logprobs=logprobs, finish_reason=None))
        if said.finish_reason is not None:
            events += self._event(CompletionChoice(index=index, text="", finish_reason=said.finish_reason))
        return events

    def _text(self, index: int, text: str) -> bytes:
        texts = self._texts.get(index)
        if texts is None:
            empty = self._event(CompletionChoice(index=index, text="", finish_reason=None))
            texts = self._texts[index] = TextEvent(empty, b'"text":')
        return texts.of(text)

    def end(self, usage: Usage) -> bytes:
        if not self._include_usage:
            return DONE
        return event(_encoder.encode(msgspec.structs.replace(self._empty, usage=usage))) + DONE

    def failed(self, error: GatewayError) -> bytes:
        return event(encode_error(error))

    def _event(self, choice: CompletionChoice) -> bytes:
        return event(_encoder.encode(msgspec.structs.replace(self._empty, choices=(choice,))))


class TokenPlaces:
    """Where in the text of one choice its tokens are."""

    def __init__(self, *, echo: bool) -> None:
        """With `echo` the first token is the prompt's, before which nothing stands."""
        self._unscored_count = int(echo)
        self._text = ""
        self._offset = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def add(self, text: str, entries: Sequence[TokenLogprob]) -> CompletionLogprobs:
        """Take the next piece of the text with the tokens that came with it."""
        self._text += text
        offsets = [self._place(entry) for entry in entries]
        unscored = min(self._unscored_count, len(entries))
        self._unscored_count -= unscored
        scored = entries[unscored:]
        return CompletionLogprobs(
            tokens=tuple(map(_name, entries)),
            token_logprobs=(*[None] * unscored, *[entry.logprob for entry in scored]),
            top_logprobs=(*[None] * unscored, *map(_likeliest, scored)),
            text_offset=tuple(offsets),
        )

    def _place(self, entry: TokenLogprob) -> int:
        """Return where the token begins. One of structure may be written out in the text, or not."""
        offset = self._offset
        if entry.bytes is not None:
            self._offset += len(self._decoder.decode(bytes(entry.bytes)))
        elif self._text.startswith(entry.token, offset):
            self._offset += len(entry.token)
        return min(offset, len(self._text))


def _empty(head: Head) -> TextCompletion:
    return TextCompletion(
        id=head.id, created=head.created, model=head.model, system_fingerprint=head.system_fingerprint, choices=()
    )


def _likeliest(entry: TokenLogprob) -> dict[str, float]:
    """Return the tokens by name; of several with one name the likeliest."""
    named: dict[str, float] = {}
    for top in (*entry.top_logprobs, entry):
        named.setdefault(_name(top), top.logprob)
    return named


def _name(token: TopLogprob) -> str:
    """Return the token's text, or its bytes as OpenAI writes them where they are a part of a character."""
    if token.bytes is None or "\N{REPLACEMENT CHARACTER}" not in token.token:
        return token.token
    return "bytes:" + "".join(f"\\x{byte:02x}" for byte in token.bytes)
