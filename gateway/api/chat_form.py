"""A chat completion's answers."""

from collections.abc import Mapping

from gateway.api.completion import choice_of
from gateway.api.form import Head
from gateway.api.sse import ChunkEncoder
from gateway.api.stream_options import includes_usage
from gateway.contracts.chat import ChatCompletion, ChatRequest, Usage
from gateway.errors import GatewayError
from gateway.wire import TokenDelta


class ChatForm:
    id_prefix = "chatcmpl-"
    prompts_count = 1

    def __init__(self, request: ChatRequest) -> None:
        """Raises InvalidRequest."""
        self._logprobs = bool(request.logprobs)
        self._include_usage = includes_usage(request)

    def whole(self, head: Head, lasts: Mapping[int, TokenDelta], usage: Usage) -> ChatCompletion:
        return ChatCompletion(
            id=head.id,
            created=head.created,
            model=head.model,
            system_fingerprint=head.system_fingerprint,
            choices=tuple(choice_of(index, last, logprobs=self._logprobs) for index, last in sorted(lasts.items())),
            usage=usage,
        )

    def chunks(self, head: Head) -> ChunkEncoder:
        return ChunkEncoder(
            completion_id=head.id,
            created=head.created,
            model=head.model,
            system_fingerprint=head.system_fingerprint,
            include_usage=self._include_usage,
        )

    def named(self, error: GatewayError) -> GatewayError:
        return error
