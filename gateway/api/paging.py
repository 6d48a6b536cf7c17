"""How many of a list an answer shows, as its query says."""

from gateway.errors import InvalidRequest

_DEFAULT_LIMIT = 20


def page_limit(text: str | None, *, most: int) -> int:
    """Return the number in the query's `limit`. Raises InvalidRequest."""
    if text is None:
        return _DEFAULT_LIMIT
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and 1 <= int(text) <= most):
        raise InvalidRequest(f"`limit` must be from 1 to {most}.", param="limit")
    return int(text)
