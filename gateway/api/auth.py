"""Who may call what: one table of every route, enforced before a request's body is read."""

import hmac
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import cast

import msgspec
from litestar.handlers import BaseRouteHandler
from litestar.types import HTTPScope, Scope

from gateway.api.origins import Connection, demand_own_page, refuse_embedding, refuse_web_pages
from gateway.api.record import GENERATING, record_of, speaks_anthropic
from gateway.api.sessions import Sessions
from gateway.contracts.keys import KeyRole
from gateway.contracts.scheduling import SchedulingClass
from gateway.errors import Forbidden, RateLimited, Unauthorized
from gateway.keys import Key, KeyRing
from gateway.rate_limit import KeyLimiter, LimitKind, Refusal

SESSION_COOKIE = "gateway_session"
TOKEN_HEADER = "x-csrf-token"  # noqa: S105 - a header's name
_METRICS = "/metrics"
_SIGN_IN = ("POST", "/sign-in")
_PLAYGROUND = ("POST", "/v1/chat/completions")
_ROLE_KEY = "key_role"
_KEY_KEY = "key"
_VISITOR_KEY = "visitor"

CONSOLE: Mapping[tuple[str, str], KeyRole | None] = {
    ("GET", "/console/assets/{version}/{path}"): None,
    ("GET", "/sign-in"): None,
    # There is no session yet, and so no token of one.
    _SIGN_IN: None,
    ("POST", "/sign-out"): KeyRole.EVALUATION,
    ("GET", "/"): KeyRole.EVALUATION,
    ("GET", "/console/overview"): KeyRole.EVALUATION,
    ("GET", "/console/recent"): KeyRole.EVALUATION,
    ("GET", "/console/promotion"): KeyRole.ADMIN,
    ("POST", "/console/promotions"): KeyRole.ADMIN,
    ("GET", "/console/unloading"): KeyRole.ADMIN,
    ("POST", "/console/unloading"): KeyRole.ADMIN,
    ("GET", "/playground"): KeyRole.EVALUATION,
    ("POST", "/playground/engines"): KeyRole.EVALUATION,
    ("GET", "/requests"): KeyRole.EVALUATION,
    ("GET", "/evaluations"): KeyRole.EVALUATION,
    ("GET", "/evaluations/{evaluation_id}"): KeyRole.EVALUATION,
    ("GET", "/history"): KeyRole.EVALUATION,
}
"""The routes that a browser's session opens. Those that change anything take requests of the console's own pages only,
with the token that is in them."""

ACCESS: Mapping[tuple[str, str], KeyRole | None] = {
    ("GET", "/health"): None,
    ("GET", "/ready"): None,
    ("GET", "/openapi.json"): None,
    # Open where the gateway is bound to loopback.
    ("GET", _METRICS): KeyRole.CHAT,
    # With a variant header these need more: see asked_route.py.
    ("POST", "/v1/chat/completions"): KeyRole.CHAT,
    ("POST", "/v1/completions"): KeyRole.CHAT,
    ("POST", "/v1/responses"): KeyRole.CHAT,
    ("POST", "/v1/messages"): KeyRole.CHAT,
    ("POST", "/v1/messages/count_tokens"): KeyRole.CHAT,
    ("POST", "/tokenize"): KeyRole.CHAT,
    ("POST", "/detokenize"): KeyRole.CHAT,
    # Each shows a key its own: see responses.py.
    ("GET", "/v1/responses/{response_id}"): KeyRole.CHAT,
    ("DELETE", "/v1/responses/{response_id}"): KeyRole.CHAT,
    ("GET", "/v1/responses/{response_id}/input_items"): KeyRole.CHAT,
    ("GET", "/v1/models"): KeyRole.CHAT,
    ("GET", "/v1/models/{model}"): KeyRole.CHAT,
    ("GET", "/admin/variants"): KeyRole.EVALUATION,
    ("POST", "/admin/variants"): KeyRole.EVALUATION,
    ("GET", "/admin/variants/{reference}"): KeyRole.EVALUATION,
    ("DELETE", "/admin/variants/{reference}"): KeyRole.ADMIN,
    ("GET", "/admin/engines"): KeyRole.EVALUATION,
    ("POST", "/admin/engines"): KeyRole.EVALUATION,
    ("DELETE", "/admin/engines/{reference}"): KeyRole.EVALUATION,
    # One that turns requests away needs the admin role: see admin.py.
    ("POST", "/admin/loans"): KeyRole.EVALUATION,
    ("DELETE", "/admin/loans"): KeyRole.EVALUATION,
    ("GET", "/admin/status"): KeyRole.EVALUATION,
    ("GET", "/admin/host"): KeyRole.EVALUATION,
    ("GET", "/admin/deployments"): KeyRole.EVALUATION,
    ("GET", "/admin/deployments/{model}"): KeyRole.EVALUATION,
    ("POST", "/admin/score"): KeyRole.EVALUATION,
    ("GET", "/admin/builds"): KeyRole.EVALUATION,
    ("POST", "/admin/builds"): KeyRole.EVALUATION,
    ("GET", "/admin/builds/{build_id}"): KeyRole.EVALUATION,
    ("DELETE", "/admin/builds/{build_id}"): KeyRole.EVALUATION,
    ("GET", "/admin/progress"): KeyRole.EVALUATION,
    ("POST", "/admin/progress"): KeyRole.EVALUATION,
    ("GET", "/admin/evaluations"): KeyRole.EVALUATION,
    ("POST", "/admin/evaluations"): KeyRole.EVALUATION,
    ("GET", "/admin/evaluations/{evaluation_id}"): KeyRole.EVALUATION,
    ("GET", "/admin/promotions"): KeyRole.EVALUATION,
    # An override or a rollback needs the admin role: see admin.py.
    ("POST", "/admin/promotions"): KeyRole.EVALUATION,
    ("GET", "/admin/keys"): KeyRole.ADMIN,
    ("POST", "/admin/keys"): KeyRole.ADMIN,
    ("POST", "/admin/keys/{name}/rotation"): KeyRole.ADMIN,
    ("DELETE", "/admin/keys/{name}"): KeyRole.ADMIN,
    **CONSOLE,
}
"""The least role of each method and path; None needs no key. A route that is not here is refused to everybody."""


class Visitor(msgspec.Struct, frozen=True, kw_only=True):
    """Who looks at the console."""

    role: KeyRole
    key: str | None
    """The key's name; None where there are no keys."""
    token: str
    """What its pages send back to prove that they are ours."""

    @property
    def may_act(self) -> bool:
        return self.role.allows(KeyRole.ADMIN)


def access_guard(
    keys: KeyRing, sessions: Sessions, *, loopback: bool, cors_origins: Collection[str] = ()
) -> Callable[[Connection, BaseRouteHandler], Awaitable[None]]:
    """Return the guard of all routes; async, because Litestar runs any other in a thread.

    `loopback` says that only this machine can reach the gateway, `cors_origins` which web pages may.
    """

    async def guard(connection: Connection, _: BaseRouteHandler) -> None:
        method, path = method_and_path(connection.scope)
        if keys.is_open:
            refuse_web_pages(connection, cors_origins)
        if method == "OPTIONS":
            return
        if (method, path) not in ACCESS:
            raise Forbidden(f"{method} {path} has no rule of access.")
        if (method, path) in CONSOLE:
            (refuse_embedding if method == "GET" else demand_own_page)(connection)
        needed = ACCESS[method, path]
        if needed is None or keys.is_open or (path == _METRICS and loopback):
            connection.scope["state"][_ROLE_KEY] = KeyRole.ADMIN if keys.is_open else None
            if keys.is_open and (method, path) in CONSOLE:
                _let_in(connection, Visitor(role=KeyRole.ADMIN, key=None, token=sessions.open_token))
            return
        key = _caller(connection, keys, sessions)
        connection.scope["state"][_ROLE_KEY] = key.role
        connection.scope["state"][_KEY_KEY] = key
        record_of(connection.scope).key = key.name
        demand(connection, needed, f"{method} {path}")
        if visitor_of(connection) is None:
            # A program with a key: no page of its sends anything back.
            connection.scope["state"][_VISITOR_KEY] = Visitor(role=key.role, key=key.name, token="")
        if (method, path) in GENERATING and (limiter := keys.limiter_of(key.name)) is not None:
            _admit(connection, key, limiter)

    return guard


def _caller(connection: Connection, keys: KeyRing, sessions: Sessions) -> Key:
    """Return the key that the request proves. Raises Unauthorized, and Forbidden for what a foreign page sends."""
    method, path = method_and_path(connection.scope)
    takes_cookie = (method, path) in CONSOLE or (method, path) == _PLAYGROUND
    if takes_cookie and "authorization" not in connection.headers:
        return _signed_in(connection, keys, sessions)
    key = keys.authenticate(connection.headers.get("authorization"))
    if key is not None:
        return key
    if not speaks_anthropic(connection.scope):
        raise Unauthorized("Send an API key that this gateway knows as `Authorization: Bearer KEY`.")
    if (key := keys.prove(connection.headers.get("x-api-key", ""))) is None:
        raise Unauthorized("Send an API key that this gateway knows as `x-api-key: KEY`.")
    return key


def _signed_in(connection: Connection, keys: KeyRing, sessions: Sessions) -> Key:
    found = sessions.find(connection.cookies.get(SESSION_COOKIE, ""), keys)
    if found is None:
        raise Unauthorized("Send an API key that this gateway knows as `Authorization: Bearer KEY`.")
    session, key = found
    _let_in(connection, Visitor(role=key.role, key=key.name, token=session.token))
    return key


def _let_in(connection: Connection, visitor: Visitor) -> None:
    """Note who looks; of a request that changes anything, demand the proof that a page of ours sent it."""
    if cast("HTTPScope", connection.scope)["method"] != "GET" and method_and_path(connection.scope) != _SIGN_IN:
        demand_own_page(connection)
        sent = connection.headers.get(TOKEN_HEADER, "")
        if not hmac.compare_digest(sent.encode(), visitor.token.encode()):
            raise Forbidden(
                f"The header {TOKEN_HEADER} is missing, or not the one of this session: load the page again."
            )
    connection.scope["state"][_VISITOR_KEY] = visitor


def visitor_of(connection: Connection) -> Visitor | None:
    """Return who looks at the console; None where nobody is signed in."""
    return connection.scope["state"].get(_VISITOR_KEY)


def _admit(connection: Connection, key: Key, limiter: KeyLimiter) -> None:
    """Count the request into its key's limits, before its body is read. Raises RateLimited."""
    record = record_of(connection.scope)
    record.limiter = limiter
    refusal = limiter.admit(time.monotonic())
    if refusal is not None:
        record.over_limit = refusal.kind
        raise _rate_limited(key, refusal)
    record.admitted = True  # and counts it out at its end


def _rate_limited(key: Key, refusal: Refusal) -> RateLimited:
    unit = "requests at a time" if refusal.kind is LimitKind.CONCURRENCY else f"{refusal.kind} a minute"
    return RateLimited(
        f"The key {key.name} may take {refusal.limit} {unit}, and has; ask again in {refusal.retry_after_s:.1f} s.",
        limited="tokens" if refusal.kind is LimitKind.TOKENS else "requests",
        retry_after_s=refusal.retry_after_s,
    )


def method_and_path(scope: Scope) -> tuple[str, str]:
    """Return the route's key in ACCESS: its parameters are names, as in `/v1/models/{model}`."""
    return cast("HTTPScope", scope)["method"], scope["path_template"]


def scheduling_class_of(connection: Connection) -> SchedulingClass:
    """Return the class of the caller's key; interactive where there are no keys."""
    key = key_of(connection)
    return key.scheduling_class if key is not None else SchedulingClass.INTERACTIVE


def key_of(connection: Connection) -> Key | None:
    """Return the caller's key, which the guard has found; None where there are no keys or none is needed."""
    return connection.scope["state"].get(_KEY_KEY)


def models_of(connection: Connection, served: Iterable[str]) -> list[str]:
    """Return those of the models that the caller may ask for."""
    key = key_of(connection)
    return [model for model in served if key is None or key.allows_model(model)]


def demand(connection: Connection, needed: KeyRole, what: str) -> None:
    """Raise Forbidden where the caller, whom the guard has identified, has not the role that `what` needs."""
    role = cast("KeyRole | None", connection.scope["state"][_ROLE_KEY])
    if role is None or not role.allows(needed):
        raise Forbidden(f"{what} needs a key of the role `{needed}`; this one has the role `{role}`.")
