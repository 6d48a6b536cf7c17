"""Read what a form sends: few short fields, by name."""

from urllib.parse import parse_qsl

from litestar_htmx import HTMXRequest

from gateway.api.body import read_body
from gateway.contracts.error_codes import ErrorCode
from gateway.errors import InvalidRequest

_MAX_BYTES = 16 * 1024
_MAX_FIELDS = 50
_TIMEOUT_S = 10.0


class Form:
    def __init__(self, fields: dict[str, str]) -> None:
        self._fields = fields

    def optional(self, name: str) -> str | None:
        return self._fields.get(name) or None

    def text(self, name: str) -> str:
        """Raise InvalidRequest where the field is missing or empty."""
        if (value := self.optional(name)) is None:
            raise InvalidRequest(f"The field {name} is missing.", code=ErrorCode.MISSING_PARAMETER, param=name)
        return value

    def integer(self, name: str) -> int:
        value = self.text(name)
        if not (value.isascii() and value.isdigit() and len(value) < 19):  # noqa: PLR2004 - what 64 bits hold
            raise InvalidRequest(f"The field {name} is no number.", param=name)
        return int(value)


async def read_form(request: HTMXRequest) -> Form:
    """Return the last value of each field. Raises InvalidRequest."""
    body = await read_body(request.receive, limit_bytes=_MAX_BYTES, timeout_s=_TIMEOUT_S)
    try:
        fields = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise InvalidRequest("The body is no form that this gateway reads.") from None
    return Form(dict(fields))
