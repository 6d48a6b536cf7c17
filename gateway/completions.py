"""Make of a completion request and its Variant what the engine runs: one Submit for each prompt. Pure."""

from collections.abc import Sequence

import msgspec

from gateway.contracts.completions import DEFAULT_MAX_TOKENS, MAX_PROMPTS, CompletionRequest
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.variants import Variant
from gateway.errors import InvalidRequest
from gateway.sampling import sampling_of
from gateway.submission import check_completion_tokens, stop_strings
from gateway.wire import Submit

Prompt = str | tuple[int, ...]


def completion_submits(variant: Variant, request: CompletionRequest) -> tuple[Submit, ...]:
    """Apply the Variant's defaults and limits, and leave its prompt out. Raises InvalidRequest."""
    prompts = prompts_of(request.prompt)
    asked = DEFAULT_MAX_TOKENS if request.max_tokens is None else request.max_tokens
    if request.max_tokens is not None:
        check_completion_tokens(asked, variant, field="max_tokens")
    if asked == 0 and not request.echo:
        raise InvalidRequest("`max_tokens` is 0, and without `echo` nothing would be answered.", param="max_tokens")
    if request.best_of is not None and request.best_of != (request.n or 1):
        raise InvalidRequest("`best_of` must be equal to `n`; drawing more than `n` is not offered.", param="best_of")
    limit = variant.limits.max_completion_tokens
    submit = Submit(
        request_id="",
        messages=(),
        template_arguments={},
        echo=bool(request.echo),
        max_completion_tokens=min(asked, limit or asked),
        completion_limit=limit,
        stop=stop_strings(request.stop),
        sampling=sampling_of(request, variant.sampling),
        top_logprobs=request.logprobs,
    )
    return tuple(msgspec.structs.replace(submit, prompt=prompt) for prompt in prompts)


def prompts_of(prompt: str | Sequence[str | int | tuple[int, ...]]) -> tuple[Prompt, ...]:
    """Return the prompts: a text, the tokens of one, or several of one kind. Raises InvalidRequest for a mixture."""
    if isinstance(prompt, str):
        return (prompt,)
    texts = tuple(item for item in prompt if isinstance(item, str))
    tokens = tuple(item for item in prompt if isinstance(item, int))
    arrays = tuple(item for item in prompt if isinstance(item, tuple))
    if len(tokens) == len(prompt):
        return (tokens,)
    prompts = texts or arrays
    if len(prompts) != len(prompt):
        raise InvalidRequest(
            "`prompt` must be a string, an array of strings, an array of token ids or an array of such arrays, and no "
            "mixture of these.",
            code=ErrorCode.INVALID_TYPE,
            param="prompt",
        )
    if len(prompts) > MAX_PROMPTS:
        raise InvalidRequest(f"`prompt` has {len(prompts)} prompts; send {MAX_PROMPTS} at most.", param="prompt")
    return prompts
