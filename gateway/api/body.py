"""Read a request's body and make a Struct of it, or say which field is wrong, and how, in OpenAI's words."""

import asyncio
import re
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import msgspec
from litestar import Request
from litestar.types import Receive
from msgspec import inspect

from gateway.api.disconnect import ClientDisconnected
from gateway.contracts.error_codes import ErrorCode
from gateway.errors import InvalidRequest
from gateway.settings import ServerSettings

StructT = TypeVar("StructT", bound=msgspec.Struct)

_PATH = re.compile(r"(?P<sentence>.*) - at `\$\.?(?P<path>.*)`", re.DOTALL)
_STEP = re.compile(r"\.?([^.\[\]]+)|\[(?:\d+|\.\.\.)\]")
_WRONG_TYPE = re.compile(r"Expected `(?P<expected>[^`]+)`(?:, got `(?P<found>[^`]+)`)?")
_OUT_OF_RANGE = re.compile(r"Expected `[^`]+` (?P<bound>(of length )?[<>=]+ \S+)")
_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(?P<field>.*)`", re.DOTALL)
_MISSING_FIELD = re.compile(r"Object missing required field `(?P<field>.*)`", re.DOTALL)
_NOT_A_CHOICE = re.compile(r"Invalid (?:enum )?value (?P<value>.*)", re.DOTALL)
_NO_MATCH = re.compile(r"Expected `str` matching regex (?P<pattern>.*)", re.DOTALL)

_PLAIN_NAMES = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "a boolean",
    "array": "an array",
    "object": "an object",
}
_BODY_TIMEOUT_S = 60.0
_ECHO_LIMIT = 100
"""Characters of the client's own text that an error message repeats."""


async def read_body(receive: Receive, *, limit_bytes: int, timeout_s: float) -> bytes:
    """Return the whole body.

    A body over the limit is read on and dropped before it is refused, up to eight times the limit: closing the socket
    on a client that still sends resets the connection, and the client never sees the answer.

    Raises InvalidRequest where the body is too large or takes longer than `timeout_s`, ClientDisconnected where it
    never ends.
    """
    chunks: list[bytes] = []
    size_bytes = 0
    try:
        async with asyncio.timeout(timeout_s):
            more = True
            while more and size_bytes <= 8 * limit_bytes:
                message = await receive()
                if message["type"] != "http.request":
                    raise ClientDisconnected
                size_bytes += len(message["body"])
                if size_bytes <= limit_bytes:
                    chunks.append(message["body"])
                more = message["more_body"]
    except TimeoutError:
        raise InvalidRequest(f"The request's body did not arrive within {timeout_s:g} s.") from None
    if size_bytes > limit_bytes:
        raise InvalidRequest(
            f"The request's body is larger than {limit_bytes} bytes, the most that this gateway reads.",
            code=ErrorCode.REQUEST_TOO_LARGE,
        )
    return b"".join(chunks)


async def read_json(
    request: Request[Any, Any, Any], decoder: "BodyDecoder[StructT]", settings: ServerSettings
) -> StructT:
    """Return the request's body as the decoder's Struct, under the server's limits."""
    body = await read_body(request.receive, limit_bytes=settings.max_body_bytes, timeout_s=_BODY_TIMEOUT_S)
    return decoder.decode(body)


class BodyDecoder(Generic[StructT]):
    """Decodes one kind of body; made once, at import."""

    def __init__(self, kind: type[StructT]) -> None:
        self._kind = kind
        self._decoder = msgspec.json.Decoder[StructT](kind)

    def decode(self, body: bytes) -> StructT:
        """Return the Struct, or raise InvalidRequest whose `param` is the JSON path of the field at fault."""
        try:
            return self._decoder.decode(body)
        except msgspec.ValidationError as error:
            raise self._translate(str(error)) from None
        except msgspec.DecodeError as error:
            raise InvalidRequest(f"The body is no JSON document: {error}.", code=ErrorCode.INVALID_JSON) from None
        except UnicodeDecodeError:
            raise InvalidRequest(_not_utf8(body), code=ErrorCode.INVALID_JSON) from None
        except RecursionError:
            raise InvalidRequest("The body is nested too deeply.", code=ErrorCode.INVALID_JSON) from None

    def _translate(self, sentence: str) -> InvalidRequest:
        """Put msgspec's sentence into ours. One of a form that is not known here is passed on as it is."""
        path = ""
        if match := _PATH.fullmatch(sentence):
            sentence, path = match["sentence"], match["path"]
        if match := _UNKNOWN_FIELD.fullmatch(sentence):
            field = _join(path, match["field"])
            message = f"`{field}` is no parameter that this gateway knows; leave it out."
            return InvalidRequest(message, code=ErrorCode.UNKNOWN_PARAMETER, param=field)
        if match := _MISSING_FIELD.fullmatch(sentence):
            field = _join(path, match["field"])
            return InvalidRequest(f"`{field}` is missing.", code=ErrorCode.MISSING_PARAMETER, param=field)
        name = f"`{path}`" if path else "The body"
        code = ErrorCode.INVALID_VALUE
        if match := _WRONG_TYPE.fullmatch(sentence):
            if match["expected"] == "null":
                message = f"{name} is not offered by this gateway; leave it out."
                return InvalidRequest(message, code=ErrorCode.UNKNOWN_PARAMETER, param=path or None)
            code = ErrorCode.INVALID_TYPE
            message = f"{name} must be {_plain(match['expected'])}"
            message += f", not {_plain(match['found'])}." if match["found"] else "."
        elif match := _OUT_OF_RANGE.fullmatch(sentence):
            message = f"{name} must be {match['bound']}."
        elif match := _NO_MATCH.fullmatch(sentence):
            message = f"{name} must match the pattern {match['pattern']}."
        elif match := _NOT_A_CHOICE.fullmatch(sentence):
            choices = _choices(inspect.type_info(self._kind), [step[1] for step in _STEP.finditer(path)])
            message = f"{name} must be {' or '.join(choices)}, not {match['value'][:_ECHO_LIMIT]}."
        else:
            message = f"{name}: {sentence}."
        return InvalidRequest(message, code=code, param=path or None)


def _plain(types: str) -> str:
    return " or ".join(_PLAIN_NAMES.get(name, name) for name in types.split(" | "))


def _join(path: str, field: str) -> str:
    field = field[:_ECHO_LIMIT]
    return f"{path}.{field}" if path else field


def _not_utf8(body: bytes) -> str:
    """Say where the body leaves UTF-8; the decoder's own position counts from the start of a string."""
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return f"The body is not UTF-8 at byte {error.start}."
    return "The body is not UTF-8."


def _choices(kind: inspect.Type, steps: list[str | None]) -> Iterator[str]:
    """Yield the values that a field with a closed set of them takes; a step of None goes into an array's items."""
    match kind:
        case inspect.Metadata(type=inner):
            yield from _choices(inner, steps)
        case inspect.UnionType(types=kinds):
            for one in kinds:
                yield from _choices(one, steps)
        case inspect.StructType() if steps:
            yield from _choices_in(kind, steps)
        case inspect.VarTupleType(item_type=item) if steps:
            yield from _choices(item, steps[1:])
        case inspect.LiteralType(values=values) if not steps:
            yield from map(repr, values)
        case inspect.EnumType(cls=cls) if not steps:
            yield from (repr(member.value) for member in cls)
        case _:
            pass


def _choices_in(struct: inspect.StructType, steps: list[str | None]) -> Iterator[str]:
    """Yield the same of a field of that Struct, or of the tag that tells it from others."""
    if struct.tag_field is not None and [struct.tag_field] == steps:
        yield repr(struct.tag)
    for field in struct.fields:
        if field.encode_name == steps[0]:
            yield from _choices(field.type, steps[1:])
