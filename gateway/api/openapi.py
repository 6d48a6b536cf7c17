"""The OpenAPI document: written from the handlers' signatures and the Structs that decode and encode the bodies."""

import inspect
import itertools
import re
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any, get_args, get_origin

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from gateway.api.errors import TABLE
from gateway.contracts.admin import LoadRequest, PromotionRequest, RegisterVariant
from gateway.contracts.chat import ChatCompletion, ChatCompletionChunk, ChatRequest, ErrorBody
from gateway.contracts.completions import CompletionRequest, TextCompletion
from gateway.contracts.evaluations import Evaluation
from gateway.contracts.scoring import ScoreRequest
from gateway.contracts.tokens import DetokenizeRequest, TokenizeRequest

PATH = "/openapi.json"
_CHAT = "/v1/chat/completions"
_COMPLETIONS = "/v1/completions"
_STREAMED: Mapping[str, tuple[type[msgspec.Struct], type[msgspec.Struct]]] = {
    _CHAT: (ChatCompletion, ChatCompletionChunk),
    _COMPLETIONS: (TextCompletion, TextCompletion),
}
"""What is answered whole, and what each event of a stream holds."""
_PINNED = frozenset({_CHAT, _COMPLETIONS, "/tokenize", "/detokenize"})
"""Where a header may say which Variant answers."""
_REFERENCE = "#/components/schemas/{name}"

BODIES: Mapping[str, type[msgspec.Struct]] = {
    _CHAT: ChatRequest,
    _COMPLETIONS: CompletionRequest,
    "/tokenize": TokenizeRequest,
    "/detokenize": DetokenizeRequest,
    "/admin/variants": RegisterVariant,
    "/admin/engines": LoadRequest,
    "/admin/score": ScoreRequest,
    "/admin/evaluations": Evaluation,
    "/admin/promotions": PromotionRequest,
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
    ("POST", "/admin/engines"): _LOADS | {409},
    ("DELETE", "/admin/engines/{reference}"): frozenset({409, 503}),
    ("POST", "/admin/score"): _LOADS | {409},
    ("POST", "/admin/evaluations"): frozenset({404, 409, 422}),
    ("POST", "/admin/promotions"): _LOADS | {409},
    ("GET", "/admin/promotions"): frozenset({400, 404}),
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
    types = [ErrorBody, *itertools.chain(*_STREAMED.values()), *BODIES.values()]
    paths: dict[str, dict[str, Any]] = {}
    pending: list[tuple[dict[str, Any], Any]] = []
    for handler in handlers:
        (method,) = handler.http_methods - {"OPTIONS"}
        for pattern in handler.paths:
            path = _PARAMETER.sub(r"{\1}", pattern)
            answer = _answer_type(handler)
            operation = _operation(handler, str(method), path)
            paths.setdefault(path, {})[str(method).lower()] = operation
            if answer is not None:
                pending.append((operation, answer))
    schemas, components = msgspec.json.schema_components(
        [*types, *(answer for _, answer in pending)], ref_template=_REFERENCE
    )
    for (operation, _), schema in zip(pending, schemas[len(types) :], strict=True):
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
        "responses": {**_success(method, path), **_failures(method, path)},
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
    return parameters


def _success(method: str, path: str) -> dict[str, Any]:
    if method == "DELETE":
        return {"204": {"description": "Done.", "headers": _HEADERS}}
    answered: dict[str, Any] = {"description": "The answer.", "headers": _HEADERS, "content": {"application/json": {}}}
    if path == "/metrics":
        answered["content"] = {"text/plain": {"schema": {"type": "string"}}}
    if path == PATH:
        answered["content"] = {"application/json": {"schema": {"type": "object"}}}
    if path in _STREAMED:
        whole, chunk = (kind.__name__ for kind in _STREAMED[path])
        chunks = f"Events whose data are {chunk}s, then `[DONE]`; or an ErrorBody, and nothing after it."
        answered["content"] = {
            "application/json": {"schema": {"$ref": _REFERENCE.format(name=whole)}},
            "text/event-stream": {"schema": {"type": "string", "description": chunks}},
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
    return {str(status): _failure(status) for status in sorted(statuses)}


def _failure(status: int) -> dict[str, Any]:
    codes = sorted(code for code, row in TABLE.items() if row.status == status)
    return {
        "description": "`code` is " + ", ".join(f"`{code}`" for code in codes) + ".",
        "headers": _HEADERS | (_RETRY_HEADERS if status in {409, 429, 503} else {}),
        "content": {"application/json": {"schema": {"$ref": _REFERENCE.format(name=ErrorBody.__name__)}}},
    }


def _answer_type(handler: HTTPRouteHandler) -> Any:
    """Return the type of the answer's JSON; None where there is none or it is written down by hand."""
    answer: Any = inspect.signature(handler.fn, eval_str=True).return_annotation
    if get_origin(answer) is Response:
        (answer,) = get_args(answer)
    kind: Any = get_origin(answer) or answer
    return answer if isinstance(kind, type) and issubclass(kind, tuple | dict | msgspec.Struct) else None
