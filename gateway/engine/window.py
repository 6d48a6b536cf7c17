"""How many tokens a request may generate, given the context's length. Pure."""

from gateway.contracts.error_codes import ErrorCode


class Refusal(Exception):
    """The request cannot run; what a Rejected says about it."""

    def __init__(self, message: str, *, code: ErrorCode = ErrorCode.INVALID_VALUE, param: str | None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param


def completion_tokens_allowed(
    *, prompt_tokens: int, asked: int | None, completion_limit: int | None, context_length: int
) -> int:
    """Return the tokens to generate at most: what was asked, else what the context leaves, up to the limit.

    Raises Refusal where the request does not fit.
    """
    ceiling = context_length if completion_limit is None else min(completion_limit, context_length)
    if asked is not None and not 1 <= asked <= ceiling:
        raise Refusal(
            f"max_completion_tokens is {asked}, but this model takes from 1 to {ceiling} completion tokens.",
            param="max_completion_tokens",
        )
    if prompt_tokens + (asked or 1) > context_length:
        wanted = f"{prompt_tokens} in the messages" + (f", {asked} in the completion" if asked else "")
        raise Refusal(
            f"This model's maximum context length is {context_length} tokens. However, you requested "
            f"{prompt_tokens + (asked or 0)} tokens ({wanted}). "
            "Please reduce the length of the messages or completion.",
            code=ErrorCode.CONTEXT_LENGTH_EXCEEDED,
            param="messages",
        )
    return asked or min(context_length - prompt_tokens, ceiling)
