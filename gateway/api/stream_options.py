"""What `stream_options` says, on every route that streams."""

from gateway.contracts.chat import GenerationRequest
from gateway.errors import InvalidRequest


def includes_usage(request: GenerationRequest) -> bool:
    """Return whether a stream ends with what was used. Raises InvalidRequest where there is no stream."""
    options = request.stream_options
    if options is not None and not request.stream:
        raise InvalidRequest("`stream_options` is allowed only where `stream` is true.", param="stream_options")
    return options is not None and bool(options.include_usage)
