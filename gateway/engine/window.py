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
    *,
    prompt_tokens: int,
    asked: int | None,
    completion_limit: int | None,
    context_length: int,
    least: int = 1,
    prompt_param: str = "messages",
    asked_param: str = "max_completion_tokens",
) -> int:
    """Return the tokens to generate at most: what was asked, else what the context leaves, up to the limit.

    Raises Refusal where the request does not fit, with the field of the prompt or of what was asked. `least` is what
    may be asked for at least.
    """
    ceiling = context_length if completion_limit is None else min(completion_limit, context_length)
    if asked is not None and not least <= asked <= ceiling:
        raise Refusal(
            f"{asked_param} is {asked}, but this model takes from {least} to {ceiling} completion tokens.",
            param=asked_param,
        )
    if prompt_tokens + (1 if asked is None else asked) > context_length:
        wanted = f"{prompt_tokens} in the {prompt_param}" + (f", {asked} in the completion" if asked else "")
        raise Refusal(
            f"This model's maximum context length is {context_length} tokens. However, you requested "
            f"{prompt_tokens + (asked or 0)} tokens ({wanted}). "
            f"Please reduce the length of the {prompt_param} or completion.",
            code=ErrorCode.CONTEXT_LENGTH_EXCEEDED,
            param=prompt_param,
        )
    return min(context_length - prompt_tokens, ceiling) if asked is None else asked
