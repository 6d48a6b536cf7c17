"""`gateway quantize`: from what a person typed to the job that builds, with progress."""

from pathlib import Path

import msgspec

from gateway.contracts.jobs import QuantizeRequest
from gateway.contracts.variants import Variant
from gateway.errors import InvalidRequest, StartError
from gateway.fleet.jobs import run_job
from gateway.models import HubRepository, resolve_source, variant_name
from gateway.models.fetch import fetch_repository
from gateway.progress import Progress

_TIMEOUT_S = 24 * 3600.0
"""A 30B model takes minutes a width, a download hours; the person who waits sees the progress and can stop it."""


async def quantize_model(model: str, *, bits: str, group_size: int, out: Path) -> dict[int, Path]:
    """Build MODEL at each width under `out`, as `NAME-<bits>bit`, and return the directories.

    Raises StartError for arguments that make no sense, and the job's own sentence: a disk that cannot hold the result,
    a model that is quantised already, a directory that exists.
    """
    widths = _parse_bits(bits)
    with Progress() as progress:
        source = await resolve_source(model, known=_no_variant, relative_allowed=True)
        if isinstance(source, HubRepository):
            source = await fetch_repository(source, on_progress=progress.show, timeout_s=_TIMEOUT_S)
        if isinstance(source, Variant):
            source = Path(source.engine.path)
        name = variant_name(model.rstrip("/"))
        builds = {width: (out / f"{name}-{width}bit").absolute() for width in widths}
        order = _order(source, widths, group_size, builds)
        await run_job("gateway.engine.quantize", order, on_progress=progress.show, timeout_s=_TIMEOUT_S)
    return builds


def _parse_bits(bits: str) -> tuple[int, ...]:
    try:
        widths = tuple(dict.fromkeys(int(part) for part in bits.split(",")))
    except ValueError:
        raise StartError(f"--bits {bits!r} is no list of numbers; write it as 4,5,6,8.") from None
    return widths


def _order(source: Path, widths: tuple[int, ...], group_size: int, builds: dict[int, Path]) -> QuantizeRequest:
    raw = {
        "model": str(source),
        "bits": widths,
        "group_size": group_size,
        "out": {width: str(path) for width, path in builds.items()},
    }
    try:
        return msgspec.convert(raw, QuantizeRequest)
    except msgspec.ValidationError as error:
        raise InvalidRequest(
            f"--bits must be of 2, 3, 4, 5, 6, 8 and --group-size one of 32, 64, 128 ({error})."
        ) from None


async def _no_variant(_reference: str) -> Variant | None:
    """Registered variants live in a gateway's registry; this command works on files alone."""
    return None
