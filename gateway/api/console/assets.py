"""The console's scripts and styles, and below `report/` those of the reports that it shows: read once, served by name.

Nothing but a name that was found in these folders is served, so no path can lead out of them.
"""

import asyncio
import hashlib
import mimetypes
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from litestar import Request, Response, get
from litestar.params import FromPath

from gateway.errors import NotFound

_OWN = Path(__file__).parent / "assets"
_SERVED = frozenset({".css", ".js", ".svg"})
_A_YEAR = "public, max-age=31536000, immutable"
_UNREAD = "latest"
"""In an address in the place of a version."""


class Asset(NamedTuple):
    content: bytes
    media_type: str


class _Assets(NamedTuple):
    files: dict[str, Asset]
    version: str
    """Changes when any of them does: addresses hold it, and so may be kept for long."""


async def prepare(_: Request[Any, Any, Any]) -> None:
    """Read them before the first page is made, off the event loop."""
    if not _is_read():
        await asyncio.to_thread(_read)


def url(name: str) -> str:
    """Return where an asset is served, for templates. Raises KeyError."""
    if not _is_read():
        # A page that no route prepared: whoever asks for the file has it read then.
        return f"/console/assets/{_UNREAD}/{name}"
    assets = _read()
    if name not in assets.files:
        raise KeyError(name)
    return f"/console/assets/{assets.version}/{name}"


@get("/console/assets/{version:str}/{path:path}")
async def show_asset(version: FromPath[str], path: FromPath[str]) -> Response[bytes]:
    """Serve a file; another version's address gives the present one, for a page that was open meanwhile."""
    assets = _read()
    asset = assets.files.get(path.removeprefix("/"))
    if asset is None:
        raise NotFound("The console has no such file.")
    kept = _A_YEAR if version == assets.version else "no-cache"
    return Response(asset.content, headers={"cache-control": kept, "content-type": asset.media_type})


def _is_read() -> bool:
    return _read.cache_info().currsize > 0


@cache
def _read() -> _Assets:
    files = _folder(_OWN) | {f"report/{name}": asset for name, asset in _folder(_of_reports()).items()}
    digest = hashlib.sha256()
    for name, asset in sorted(files.items()):
        digest.update(name.encode() + b"\0" + asset.content)
    return _Assets(files, digest.hexdigest()[:12])


def _of_reports() -> Path:
    """Find the folder without importing the report: its numpy and scipy take a second, and every stream would wait."""
    spec = find_spec("canary.report")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("canary.report is not installed: this package is not whole")
    return Path(spec.origin).parent / "assets"


def _folder(folder: Path) -> dict[str, Asset]:
    files = (path for path in folder.rglob("*") if path.suffix in _SERVED and path.is_file())
    return {path.relative_to(folder).as_posix(): Asset(path.read_bytes(), _media_type(path)) for path in files}


def _media_type(path: Path) -> str:
    return f"{mimetypes.guess_type(path.name)[0]}; charset=utf-8"
