"""`/admin/keys`: API keys made, listed, rotated and revoked while the gateway runs."""

from typing import Any

from litestar import Request, delete, get, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from gateway.api.body import BodyDecoder, read_json
from gateway.contracts.keys import CreateKey, KeyView, NewSecret, RotateKey
from gateway.service import Gateway

_creation = BodyDecoder(CreateKey)
_rotation = BodyDecoder(RotateKey)


@get("/admin/keys")
async def list_keys(gateway: NamedDependency[Gateway]) -> tuple[KeyView, ...]:
    return gateway.issued_keys.views()


@post("/admin/keys", status_code=200)
async def create_key(request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]) -> NewSecret:
    """Make a key; its secret is shown here and never again."""
    return await gateway.issued_keys.create(await read_json(request, _creation, gateway.settings.server))


@post("/admin/keys/{name:str}/rotation", status_code=200)
async def rotate_key(
    name: FromPath[str], request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]
) -> NewSecret:
    """Give a key a new secret, which is shown here and never again."""
    body = await read_json(request, _rotation, gateway.settings.server)
    return await gateway.issued_keys.rotate(name, grace_s=body.grace_s)


@delete("/admin/keys/{name:str}")
async def revoke_key(name: FromPath[str], gateway: NamedDependency[Gateway]) -> None:
    """End a key; its next request is refused."""
    await gateway.issued_keys.revoke(name)


ROUTES: tuple[HTTPRouteHandler, ...] = (list_keys, create_key, rotate_key, revoke_key)
