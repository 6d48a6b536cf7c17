"""What a person means by a model: a directory, a registered variant, or a Hugging Face repository."""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from gateway.contracts.variants import Variant
from gateway.models.unreadable import unreadable

_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
_FOREIGN = re.compile(r"[^A-Za-z0-9._-]+")


class HubRepository(msgspec.Struct, frozen=True):
    """A Hugging Face repository `organisation/name`, to be fetched by the job `gateway.engine.fetch`."""

    id: str


async def resolve_source(
    source: str, *, known: Callable[[str], Awaitable[Variant | None]], relative_allowed: bool
) -> Path | Variant | HubRepository:
    """Return, in this order: the directory that a path names, the registered Variant of that name, the repository.

    `known` looks a name or `name@digest` up. A relative path means nothing to a server in another directory, so over
    HTTP only absolute ones are allowed. Raises InvalidRequest (MODEL_UNREADABLE).
    """
    if source.startswith((".", "/")):
        return _directory(source, relative_allowed=relative_allowed)
    variant = await known(source)
    if variant is not None:
        return variant
    if _REPOSITORY.fullmatch(source):
        return HubRepository(source)
    raise unreadable(
        f"no model {source!r}: it is neither a directory (start it with ./ or /), nor a registered variant's name, nor"
        " a Hugging Face repository id (organisation/name)",
    )


def variant_name(source: str) -> str:
    """Return the last part of a directory or repository id, or a reference's name, in the letters of a reference."""
    last = Path(source).resolve().name if source.startswith((".", "/")) else source.partition("@")[0].split("/")[-1]
    return _FOREIGN.sub("-", last).strip("._-") or "model"


def path_of(source: str, *, relative_allowed: bool) -> Path:
    """Return the path; raise InvalidRequest (MODEL_UNREADABLE) where it is relative and must not be."""
    path = Path(source)
    if not path.is_absolute() and not relative_allowed:
        raise unreadable(
            f"the path {source} is relative to a directory that the gateway does not know: make it absolute"
        )
    return path


def _directory(source: str, *, relative_allowed: bool) -> Path:
    path = path_of(source, relative_allowed=relative_allowed)
    try:
        is_directory = path.is_dir()
    except OSError as error:
        raise unreadable(f"the model directory {path} cannot be opened ({error.strerror}): correct the path") from error
    if not is_directory:
        raise unreadable(
            f"there is no model directory {path}: give the one that holds config.json, tokenizer.json and the"
            " model*.safetensors files"
        )
    return path.resolve()
