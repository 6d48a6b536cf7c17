"""What `/tokenize` and `/detokenize` ask, checked, as the message to an engine. Pure."""

import msgspec

from gateway.contracts.chat import ChatRequest
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.tokens import DetokenizeRequest, TokenizeRequest
from gateway.contracts.variants import Variant
from gateway.errors import InvalidRequest
from gateway.submission import submit_of
from gateway.wire import Detokenize, Tokenize


def tokenize_message(request_id: str, variant: Variant, request: TokenizeRequest) -> Tokenize:
    """Return the message; of messages it renders what a chat completion would. Raises InvalidRequest."""
    if request.messages is None:
        return _of_text(request_id, request)
    if request.prompt is not None:
        raise InvalidRequest("Give either `prompt` or `messages`, not both.", param="messages")
    chat = ChatRequest(
        model="",
        messages=request.messages,
        tools=request.tools,
        chat_template_kwargs=request.chat_template_kwargs,
    )
    of_chat = chat_message(request_id, variant, chat)
    return msgspec.structs.replace(
        of_chat,
        opens_answer=request.add_generation_prompt is not False,
        special_tokens=bool(request.add_special_tokens),
    )


def chat_message(request_id: str, variant: Variant, request: ChatRequest) -> Tokenize:
    """Return the message of a chat's prompt. Raises InvalidRequest."""
    submit = submit_of(request_id, variant, request)
    return Tokenize(
        request_id=request_id,
        text=None,
        messages=submit.messages,
        template_arguments=submit.template_arguments,
        tools=submit.tools.tools if submit.tools else (),
        opens_answer=True,
        special_tokens=False,
    )


def detokenize_message(request_id: str, _: Variant, request: DetokenizeRequest) -> Detokenize:
    return Detokenize(request_id=request_id, tokens=request.tokens)


def _of_text(request_id: str, request: TokenizeRequest) -> Tokenize:
    if request.prompt is None:
        raise InvalidRequest("Give `prompt` or `messages`.", code=ErrorCode.MISSING_PARAMETER, param="prompt")
    for field in ("tools", "chat_template_kwargs", "add_generation_prompt"):
        if getattr(request, field) is not None:
            raise InvalidRequest(f"`{field}` goes with `messages`, not with `prompt`; leave it out.", param=field)
    return Tokenize(
        request_id=request_id,
        text=request.prompt,
        messages=(),
        template_arguments={},
        tools=(),
        opens_answer=True,
        special_tokens=request.add_special_tokens is not False,
    )
