"""What a request's `response_format` asks of the engine: nothing, or a grammar that the answer is held to."""

import msgspec

from gateway.contracts.chat import ChatRequest
from gateway.contracts.response_format import JsonObjectFormat, JsonSchemaFormat, TextFormat
from gateway.errors import InvalidRequest
from gateway.schema_depth import MAX_SCHEMA_DEPTH, is_deeper
from gateway.wire import GrammarKind, GrammarSpec

_PARAM = "response_format"
_ANY_OBJECT = b'{"type": "object"}'


def grammar_of(request: ChatRequest) -> GrammarSpec | None:
    """Return the grammar, None where any text will do.

    Raises InvalidRequest where the schema is nested too deeply. Whether it can be held to, the engine says.
    """
    match request.response_format:
        case None | TextFormat():
            return None
        case JsonObjectFormat():
            source = _ANY_OBJECT
        case JsonSchemaFormat(json_schema=asked):
            if is_deeper(asked.schema, MAX_SCHEMA_DEPTH):
                raise InvalidRequest(
                    f"`{_PARAM}.json_schema.schema` is nested more than {MAX_SCHEMA_DEPTH} levels deep.", param=_PARAM
                )
            source = _ANY_OBJECT if asked.schema is None else msgspec.json.encode(asked.schema)
    return GrammarSpec(kind=GrammarKind.JSON_SCHEMA, source=source.decode(), param=_PARAM)
