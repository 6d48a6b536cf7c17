"""How a request's answer is drawn: what the request says, else what the Variant says, else what has no effect."""

from collections.abc import Mapping

from gateway.contracts.chat import ChatRequest, GenerationRequest
from gateway.contracts.variants import SamplingDefaults
from gateway.errors import InvalidRequest
from gateway.wire import Sampling

_BIAS_LIMIT = 100


def sampling_of(request: GenerationRequest, defaults: SamplingDefaults) -> Sampling:
    """Raises InvalidRequest where `logit_bias` names something that is no token id or goes beyond its range."""
    return Sampling(
        temperature=defaults.temperature if request.temperature is None else request.temperature,
        top_p=defaults.top_p if request.top_p is None else request.top_p,
        top_k=defaults.top_k if request.top_k is None else max(request.top_k, 0),
        min_p=defaults.min_p if request.min_p is None else request.min_p,
        seed=request.seed,
        presence_penalty=request.presence_penalty or 0.0,
        frequency_penalty=request.frequency_penalty or 0.0,
        repetition_penalty=(
            defaults.repetition_penalty if request.repetition_penalty is None else request.repetition_penalty
        ),
        logit_bias=_logit_bias(request.logit_bias or {}),
    )


def top_logprobs_of(request: ChatRequest) -> int | None:
    """Return how many tokens to name beside each, None where no log-probabilities are asked for."""
    if request.top_logprobs is not None and not request.logprobs:
        raise InvalidRequest("`top_logprobs` is allowed only where `logprobs` is true.", param="top_logprobs")
    return (request.top_logprobs or 0) if request.logprobs else None


def _logit_bias(bias: Mapping[str, float]) -> dict[int, float]:
    """Return the bias by token id. Whether the vocabulary has such a token, only the engine knows."""
    by_token: dict[int, float] = {}
    for name, value in bias.items():
        param = f"logit_bias.{name[:20]}"
        if not (name.isascii() and name.isdigit() and len(name) <= 10):  # noqa: PLR2004 - digits of 2**32
            raise InvalidRequest(f"`{param}` is no token id; keys are ids of the model's vocabulary.", param=param)
        if not -_BIAS_LIMIT <= value <= _BIAS_LIMIT:
            raise InvalidRequest(f"`{param}` must be from -{_BIAS_LIMIT} to {_BIAS_LIMIT}.", param=param)
        by_token[int(name)] = value
    return by_token
