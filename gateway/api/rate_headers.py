"""`x-ratelimit-*`: what is left of a key's rates, in OpenAI's words."""

from collections.abc import Iterable

from gateway.rate_limit import Standing

_MINUTE_S = 60
_HOUR_S = 3600


def rate_headers(standings: Iterable[Standing]) -> list[tuple[bytes, bytes]]:
    headers: list[tuple[bytes, bytes]] = []
    for standing in standings:
        facts = {
            "limit": str(standing.limit),
            "remaining": str(standing.remaining),
            "reset": written_duration(standing.reset_s),
        }
        headers += [(f"x-ratelimit-{name}-{standing.kind}".encode(), fact.encode()) for name, fact in facts.items()]
    return headers


def written_duration(seconds: float) -> str:
    """Write as Go does, and so OpenAI: `120ms`, `8.64s`, `6m0s`, `1h0m5s`. No more than milliseconds are told."""
    milliseconds = round(seconds * 1000)
    if 0 < milliseconds < 1000:  # noqa: PLR2004 - a second
        return f"{milliseconds}ms"
    whole_s, rest_ms = divmod(milliseconds, 1000)
    hours, rest_s = divmod(whole_s, _HOUR_S)
    minutes, last_s = divmod(rest_s, _MINUTE_S)
    tail = f"{last_s}.{rest_ms:03}".rstrip("0").rstrip(".") if rest_ms else str(last_s)
    if hours:
        return f"{hours}h{minutes}m{tail}s"
    return f"{minutes}m{tail}s" if minutes else f"{tail}s"
