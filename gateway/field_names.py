"""What a request's fields are called on the route that it came by: an error about them says so in its words."""

import re
from collections.abc import Sequence

from gateway.errors import GatewayError, InvalidRequest

Names = Sequence[tuple[re.Pattern[str], str]]
"""Chat's fields, and what they are called there."""


def renamed(error: GatewayError, names: Names) -> GatewayError:
    """Return an error about a chat request in the words of the request that it was made of."""
    if not isinstance(error, InvalidRequest):
        return error
    message, param = error.message, error.param
    for pattern, name in names:
        message = pattern.sub(name, message)
        param = pattern.sub(name, param) if param else param
    return InvalidRequest(message, code=error.code, param=param)
