"""Ask the engine process what it has loaded, and compare that with what should serve."""

import asyncio

from gateway.contracts.digests import short
from gateway.contracts.variants import EngineSpec
from gateway.errors import EngineDiffers, InvalidRequest
from gateway.fleet.engine import Engine
from gateway.models import DigestCache
from gateway.models.identity import loaded_differs

_IDENTIFY_TIMEOUT_S = 30.0


async def check_loaded(engine: Engine, expected: EngineSpec, cache: DigestCache) -> None:
    """Raise EngineDiffers where the process holds another engine, or other files than were registered.

    Our own tables are not asked: the process says which spec it got and in which state it found the files, and their
    content is looked up by that, or read. Raises EngineError or NotReady where the process does not answer.
    """
    identity = await engine.identify(_IDENTIFY_TIMEOUT_S)
    if identity.spec.digest != expected.digest:
        raise EngineDiffers(
            f"The engine process holds the engine {short(identity.spec.digest)}, and {short(expected.digest)} is to "
            "serve."
        )
    try:
        difference = await asyncio.to_thread(loaded_differs, expected, identity.files, cache=cache)
    except InvalidRequest as error:
        raise EngineDiffers(error.message) from error
    if difference is not None:
        raise EngineDiffers(f"The engine has loaded something else: {difference}. Register the model again.")
