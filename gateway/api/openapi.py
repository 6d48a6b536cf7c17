"""The OpenAPI document: written from the handlers' signatures and the Structs that decode and encode the bodies."""

import inspect
import itertools
import re
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from types import UnionType
from typing import Any, NamedTuple, get_args, get_origin

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from gateway.api.errors import TABLE, anthropic_status
from gateway.api.record import is_anthropic
from gateway.contracts import anthropic, responses
from gateway.contracts.admin import LoadRequest, LoanRequest, PromotionRequest, RegisterVariant
from gateway.contracts.builds import BuildRequest
from gateway.contracts.chat import ChatCompletion, ChatCompletionChunk, ChatRequest, ErrorBody
from gateway.contracts.completions import CompletionRequest, TextCompletion
from gateway.contracts.evaluations import Evaluation
from gateway.contracts.keys import CreateKey, RotateKey
from gateway.contracts.progress import RunProgress
from gateway.contracts.scoring import ScoreRequest
from gateway.contracts.tokens import DetokenizeRequest, TokenizeRequest

PATH = "/openapi.json"
_CHAT = "/v1/chat/completions"
_COMPLETIONS = "/v1/completions"
_RESPONSES = "/v1/responses"
_MESSAGES = "/v1/messages"
_COUNT_TOKENS = "/v1/messages/count_tokens"
_INPUT_ITEMS = "/v1/responses/{response_id}/input_items"


class _Streamed(NamedTuple):
    whole: type[msgspec.Struct]
    """What is answered in one piece."""
    events: tuple[type[msgspec.Struct], ...]
    """What each event of a stream holds."""
    end: str = "then `[DONE]`; or an ErrorBody, and nothing after it."


_STREAMED: Mapping[str, _Streamed] = {
    _CHAT: _Streamed(ChatCompletion, (ChatCompletionChunk,)),
    _COMPLETIONS: _Streamed(TextCompletion, (TextCompletion,)),
    _RESPONSES: _Streamed(
        responses.Response, get_args(responses.StreamEvent), "the last a ResponseEvent that says how it ended."
    ),
    _MESSAGES: _Streamed(
        anthropic.Message,
        get_args(anthropic.StreamEvent),
        "the last a MessageStop; or a MessageErrorBody, and nothing after it.",
    ),
}
_PINNED = frozenset({_CHAT, _COMPLETIONS, _RESPONSES, _MESSAGES, _COUNT_TOKENS, "/tokenize", "/detokenize"})
"""Where a header may say which Variant answers."""
_REFERENCE = "#/components/schemas/{name}"

BODIES: Mapping[str, type[msgspec.Struct]] = {
    _CHAT: ChatRequest,
    _COMPLETIONS: CompletionRequest,
    _RESPONSES: responses.ResponseRequest,
    _MESSAGES: anthropic.MessageRequest,
    _COUNT_TOKENS: anthropic.CountTokensRequest,
    "/tokenize": TokenizeRequest,
    "/detokenize": DetokenizeRequest,
    "/admin/variants": RegisterVariant,
    "/admin/engines": LoadRequest,
    "/admin/loans": LoanRequest,
    "/admin/score": ScoreRequest,
    "/admin/builds": BuildRequest,
    "/admin/progress": RunProgress,
    "/admin/evaluations": Evaluation,
    "/admin/promotions": PromotionRequest,
    "/admin/keys": CreateKey,
    "/admin/keys/{name}/rotation": RotateKey,
}
"""What a POST to the path takes."""

_ALWAYS = frozenset({401, 403, 413, 500})
_WITH_BODY = frozenset({400})
_LOADS = frozenset({404, 422, 429, 503})
"""Of what may load an engine or wait for one."""
_ERRORS: Mapping[tuple[str, str], frozenset[int]] = {
    **{("POST", path): _LOADS | {409} for path in _PINNED},
    ("GET", "/ready"): frozenset(),
    ("POST", "/admin/variants"): _LOADS | {409},
    ("GET", "/admin/variants/{reference}"): frozenset({409}),
    ("DELETE", "/admin/variants/{reference}"): frozenset({400, 409}),
    ("POST", "/admin/engines"): _LOADS | {409},
    ("DELETE", "/admin/engines/{reference}"): frozenset({409, 503}),
    ("POST", "/admin/loans"): _LOADS | {409},
    ("POST", "/admin/score"): _LOADS | {409},
    ("POST", "/admin/builds"): _LOADS | {409},
    ("DELETE", "/admin/builds/{build_id}"): frozenset({400}),
    ("POST", "/admin/progress"): frozenset({404}),
    ("POST", "/admin/evaluations"): frozenset({404, 409, 422}),
    ("POST", "/admin/promotions"): _LOADS | {409},
    ("GET", "/admin/promotions"): frozenset({400, 404}),
    ("POST", "/admin/keys"): frozenset({409}),
    ("POST", "/admin/keys/{name}/rotation"): frozenset({409}),
    ("DELETE", "/admin/keys/{name}"): frozenset({409}),
    ("GET", "/v1/responses/{response_id}"): frozenset({400}),
    ("GET", _INPUT_ITEMS): frozenset({400}),
}
"""Statuses that a route may answer beside those that all have, those of its body and of a name in its path."""

_HEADERS = {
    "x-request-id": {"description": "The request's own, or a new one.", "schema": {"type": "string"}},
    "openai-processing-ms": {"description": "Until the headers were sent.", "schema": {"type": "string"}},
}
_RETRY_HEADERS = {
    "retry-after": {"description": "Seconds; an estimate.", "schema": {"type": "string"}},
    "x-should-retry": {"description": "`false` where it is of no use.", "schema": {"type": "string"}},
}
_QUERIES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    _INPUT_ITEMS: {
        "after": {"type": "string"},
        "limit": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
        "order": {"enum": ["asc", "desc"], "default": "desc"},
    }
}
"""What the query of a path may say, where the handler reads it by itself."""
_PARAMETER = re.compile(r"\{(\w+)(:\w+)?\}")


def document_route(handlers: Iterable[HTTPRouteHandler]) -> HTTPRouteHandler:
    """Return the route that shows the document of these handlers and of itself."""
    shown: list[HTTPRouteHandler] = []
    encoded: list[bytes] = []

    @get(PATH)
    async def show_document() -> Response[bytes]:
        """Show this document."""
        if not encoded:
            encoded.append(msgspec.json.encode(document(shown)))
        return Response(encoded[0], media_type="application/json")

    shown.extend([*handlers, show_document])
    return show_document


def document(handlers: Iterable[HTTPRouteHandler]) -> dict[str, Any]:
    """Return the document as JSON values."""
    streamed = itertools.chain.from_iterable((it.whole, *it.events) for it in _STREAMED.values())
    types = [ErrorBody, anthropic.MessageErrorBody, *streamed, *BODIES.values()]
    paths: dict[str, dict[str, Any]] = {}
    pending: list[tuple[dict[str, Any], tuple[Any, ...]]] = []
    for handler in handlers:
        (method,) = handler.http_methods - {"OPTIONS"}
        for pattern in handler.paths:
            path = _PARAMETER.sub(r"{\1}", pattern)
            answers = _answer_types(handler)
            operation = _operation(handler, str(method), path)
            paths.setdefault(path, {})[str(method).lower()] = operation
            if answers:
                pending.append((operation, answers))
    schemas, components = msgspec.json.schema_components(
        [*types, *itertools.chain.from_iterable(answers for _, answers in pending)], ref_template=_REFERENCE
    )
    of_answers = iter(schemas[len(types) :])
    for operation, answers in pending:
        forms = list(itertools.islice(of_answers, len(answers)))
        schema = forms[0] if len(forms) == 1 else {"anyOf": forms}
        for status in operation["responses"].keys() & {"200", "503"}:
            content = operation["responses"][status]["content"]
            if content.get("application/json") == {}:
                content["application/json"]["schema"] = schema
    return {
        "openapi": "3.1.0",
        "info": {"title": "gateway", "version": version("gateway-canary")},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"key": []}],
    }


def _operation(handler: HTTPRouteHandler, method: str, path: str) -> dict[str, Any]:
    function = handler.fn
    operation: dict[str, Any] = {
        "operationId": function.__name__,
        "summary": (inspect.getdoc(function) or function.__name__.replace("_", " ")).splitlines()[0],
        "parameters": _parameters(handler, path),
        "responses": {**_success(handler, path), **_failures(method, path)},
    }
    if method == "POST":
        schema = {"$ref": _REFERENCE.format(name=BODIES[path].__name__)}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return operation


def _parameters(handler: HTTPRouteHandler, path: str) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name, _ in _PARAMETER.findall(path)
    ]
    if path in _PINNED:
        about = "`name@digest` of the Variant that is to answer; with keys, the role `evaluation` is needed."
        parameters.append(
            {"name": "x-gateway-variant", "in": "header", "description": about, "schema": {"type": "string"}}
        )
    if "model" in inspect.signature(handler.fn).parameters and "{model}" not in path:
        parameters.append({"name": "model", "in": "query", "schema": {"type": "string"}})
    parameters += [{"name": name, "in": "query", "schema": schema} for name, schema in _QUERIES.get(path, {}).items()]
    return parameters


def _success(handler: HTTPRouteHandler, path: str) -> dict[str, Any]:
    if handler.status_code == 204:  # noqa: PLR2004 - HTTP's own number
        return {"204": {"description": "Done.", "headers": _HEADERS}}
    answered: dict[str, Any] = {"description": "The answer.", "headers": _HEADERS, "content": {"application/json": {}}}
    if path == "/metrics":
        text = {"schema": {"type": "string"}}
        answered["content"] = {"text/plain": text, "application/openmetrics-text": text}
    if path == PATH:
        answered["content"] = {"application/json": {"schema": {"type": "object"}}}
    if path in _STREAMED:
        streamed = _STREAMED[path]
        kinds = " or ".join(kind.__name__ for kind in streamed.events)
        events = f"Events whose data are each a {kinds}, {streamed.end}"
        answered["content"] = {
            "application/json": {"schema": {"$ref": _REFERENCE.format(name=streamed.whole.__name__)}},
            "text/event-stream": {"schema": {"type": "string", "description": events}},
        }
    if path == "/ready":
        return {"200": answered, "503": {**answered, "description": "A request would not be served now."}}
    return {"200": answered}


def _failures(method: str, path: str) -> dict[str, Any]:
    statuses = _ALWAYS | _ERRORS.get((method, path), frozenset())
    if method == "POST":
        statuses |= _WITH_BODY
    if _PARAMETER.search(path):
        statuses |= {404}
    if is_anthropic(path):
        return {str(anthropic_status(status)): _failure(status, anthropic.MessageErrorBody) for status in statuses}
    return {str(status): _failure(status, ErrorBody) for status in sorted(statuses)}


def _failure(status: int, body: type[msgspec.Struct]) -> dict[str, Any]:
    codes = sorted(code for code, row in TABLE.items() if row.status == status)
    described = "`code` is " if body is ErrorBody else "In the gateway's log: "
    return {
        "description": described + ", ".join(f"`{code}`" for code in codes) + ".",
        "headers": _HEADERS | (_RETRY_HEADERS if status in {409, 429, 503} else {}),
        "content": {"application/json": {"schema": {"$ref": _REFERENCE.format(name=body.__name__)}}},
    }


def _answer_types(handler: HTTPRouteHandler) -> tuple[Any, ...]:
    """Return the types that the answer's JSON may have; none where there is none or it is written down by hand."""
    answer: Any = inspect.signature(handler.fn, eval_str=True).return_annotation
    if get_origin(answer) is Response:
        (answer,) = get_args(answer)
    forms = get_args(answer) if isinstance(answer, UnionType) else (answer,)
    kinds = [get_origin(form) or form for form in forms]
    is_json = all(isinstance(kind, type) and issubclass(kind, tuple | dict | msgspec.Struct) for kind in kinds)
    return tuple(forms) if is_json else ()
