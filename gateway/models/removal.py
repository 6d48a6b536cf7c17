"""Which files of a Variant go when it is archived, and their removal. Blocks: run it in a thread.

Whether it may go is decided in `gateway/archive.py`; this is about what lies on the disk.
"""

import shutil
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import msgspec

from gateway.contracts.builds import PROVENANCE_FILE
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.variants import EngineSpec, Variant
from gateway.errors import GateError
from gateway.models.adapter import FILES as ADAPTER_FILES
from gateway.models.digest import CONTENT_PATTERNS, DigestCache, content_digest, content_files

MODELS_DIRECTORY = "models"
"""In the state directory: what the gateway built itself, which goes with everything in it."""


class Removal(msgspec.Struct, frozen=True, kw_only=True):
    """What one archiving removes."""

    directories: tuple[Path, ...]
    """Removed whole: the gateway's own builds."""
    files: tuple[Path, ...]
    """Removed one by one, elsewhere: there may be a person's own files beside them."""
    freed_bytes: int
    kept: tuple[str, ...]
    """What stays, and why, in words."""


def plan_removal(variant: Variant, *, others: Iterable[Variant], state_dir: Path, digest_cache: DigestCache) -> Removal:
    """Return what can go of a Variant's own directories.

    `others` are those that stay. A draft model stays always: it is a model of its own. Raises GateError where the
    weights belong to another Variant too, are other weights by now, or are links to files that lie elsewhere.
    """
    spec = variant.engine
    used = _used_by(others)
    model = Path(spec.path)
    if users := _users(model, used):
        raise _refused(
            f"{model} also holds the files of {', '.join(users)}: archive these too, all but the last by their own "
            "names, or keep it."
        )
    parts = [_part(model, CONTENT_PATTERNS, spec.weights_digest, state_dir, digest_cache)]
    kept: list[str] = []
    if spec.draft_path is not None:
        kept.append(f"the draft model {spec.draft_path}")
    if spec.adapter_path is not None and spec.adapter_digest is not None:
        adapter = Path(spec.adapter_path)
        if users := _users(adapter, used):
            kept.append(f"the adapter {adapter}, which {', '.join(users)} needs")
        else:
            parts.append(_part(adapter, ADAPTER_FILES, spec.adapter_digest, state_dir, digest_cache))
    directories = tuple(path for whole, _ in parts for path in whole)
    files = tuple(path for _, each in parts for path in each)
    every = [*files, *(file for directory in directories for file in directory.rglob("*"))]
    return Removal(
        directories=directories,
        files=files,
        freed_bytes=sum(_freed_bytes(file) for file in every),
        kept=tuple(kept),
    )


def remove(removal: Removal) -> None:
    """Remove it, and directories that this leaves empty. Raises OSError, with some of it removed."""
    for directory in removal.directories:
        shutil.rmtree(directory)
    for file in removal.files:
        file.unlink(missing_ok=True)
    for directory in {file.parent for file in removal.files}:
        if directory.is_dir() and not any(directory.iterdir()):
            directory.rmdir()


def _part(
    directory: Path, patterns: Collection[str], digest: str, state_dir: Path, digest_cache: DigestCache
) -> tuple[list[Path], list[Path]]:
    """Return the directories and the files to remove of one directory of a Variant."""
    if not directory.is_dir():
        return [], []
    files = content_files(directory, tuple(patterns))
    if not files:
        return [], []
    found = content_digest(
        directory, cache=digest_cache, on_progress=lambda _share, _message: None, patterns=tuple(patterns)
    )
    if found != digest:
        raise _refused(
            f"{directory} holds other files by now than the variant was made of: register it again, and archive that."
        )
    if directory.resolve().is_relative_to((state_dir / MODELS_DIRECTORY).resolve()):
        return [directory], []
    if foreign := [file for file in files if not file.resolve().is_relative_to(directory.resolve())]:
        raise _refused(
            f"{foreign[0]} is a link to {foreign[0].resolve()}, and other things may need that: remove it with the "
            "tool that put it there (a repository of Hugging Face's cache with `hf cache`)."
        )
    provenance = directory / PROVENANCE_FILE
    return [], [*files, *([provenance] if provenance.is_file() else [])]


def _used_by(others: Iterable[Variant]) -> list[tuple[Path, str]]:
    return [(path, other.reference) for other in others for path in _paths(other.engine)]


def _paths(spec: EngineSpec) -> Iterator[Path]:
    for path in (spec.path, spec.adapter_path, spec.draft_path):
        if path is not None:
            yield Path(path).resolve()


def _users(directory: Path, used: Iterable[tuple[Path, str]]) -> list[str]:
    """Return who has files in that directory, or below or above it."""
    here = directory.resolve()
    return sorted({name for path, name in used if path.is_relative_to(here) or here.is_relative_to(path)})


def _freed_bytes(file: Path) -> int:
    """A link holds nothing, and what has a second name stays under that."""
    status = file.lstat()
    return status.st_size if file.is_file() and not file.is_symlink() and status.st_nlink == 1 else 0


def _refused(message: str) -> GateError:
    return GateError(message, code=ErrorCode.VARIANT_IN_USE)
