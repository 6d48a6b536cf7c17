"""A completion in one piece, from what the engine said in many."""

import msgspec

from gateway.contracts.chat import (
    AssistantMessage,
    Choice,
    CompletionTokensDetails,
    FinishReason,
    PromptTokensDetails,
    Usage,
)
from gateway.contracts.logprobs import ChoiceLogprobs
from gateway.errors import EngineFault
from gateway.wire import TokenDelta


def choice_of(index: int, said: TokenDelta, *, logprobs: bool) -> Choice:
    """Return one choice. Raises EngineFault where the answer has no end."""
    message = AssistantMessage(
        # Null beside calls is what clients tell an answer of calls from one of text by.
        content=said.text or (None if said.tool_calls else ""),
        reasoning_content=said.reasoning or msgspec.UNSET,
        tool_calls=said.tool_calls or msgspec.UNSET,
    )
    return Choice(
        index=index,
        message=message,
        logprobs=ChoiceLogprobs(content=said.logprobs) if logprobs else None,
        finish_reason=finish_reason_of(said),
    )


def finish_reason_of(said: TokenDelta) -> FinishReason:
    """Return why the answer ended. Raises EngineFault where it has no end."""
    if said.finish_reason is None:
        raise EngineFault("The engine ended the answer without saying why.")
    return said.finish_reason


def usage_of(prompt_tokens: int, *lasts: TokenDelta, prompts_count: int = 1) -> Usage:
    """Return what was used, from the prompts, each counted once, and the last delta of each choice, in order.

    Of a prompt's choices the first to compute it leaves it to the others; that one says what was cached before.
    """
    per_prompt = max(1, len(lasts) // prompts_count)
    of_prompts = [lasts[start : start + per_prompt] for start in range(0, len(lasts), per_prompt)]
    cached_tokens = sum(min(last.cached_tokens for last in of_one) for of_one in of_prompts)
    completion_tokens = sum(last.completion_tokens for last in lasts)
    return Usage(
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        total_tokens=prompt_tokens + completion_tokens,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=cached_tokens),
        completion_tokens_details=CompletionTokensDetails(
            reasoning_tokens=sum(last.reasoning_tokens for last in lasts)
        ),
    )
