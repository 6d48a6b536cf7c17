"""What `/admin/score` asks, checked, as the message to an engine. Pure."""

from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.scoring import ScoreRequest
from gateway.contracts.variants import Variant
from gateway.errors import InvalidRequest
from gateway.wire import Score, WireMessage


def check_request(request: ScoreRequest) -> None:
    """Raise InvalidRequest where both of two alternatives are given, or neither is."""
    _require_one("variant", request.variant, "model", request.model)
    _require_one("tokens", request.tokens, "messages", request.messages)


def score_message(request_id: str, variant: Variant, request: ScoreRequest) -> Score:
    """Return the message; the Variant's prompt stands around messages and not around tokens."""
    messages = [
        WireMessage("system" if message.role == "developer" else message.role, message.content)
        for message in request.messages or ()
    ]
    system = variant.prompt.system
    if messages and system is not None and messages[0].role != "system":
        messages.insert(0, WireMessage("system", system))
    return Score(
        request_id=request_id,
        tokens=request.tokens,
        messages=tuple(messages),
        template_arguments=variant.prompt.template_arguments,
        top_k=request.top_k,
    )


def _require_one(first: str, one: object, second: str, other: object) -> None:
    if one is None and other is None:
        raise InvalidRequest(f"Name `{first}` or `{second}`.", code=ErrorCode.MISSING_PARAMETER, param=first)
    if one is not None and other is not None:
        raise InvalidRequest(f"Name either `{first}` or `{second}`, not both.", param=second)
