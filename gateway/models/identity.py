"""What an engine process has loaded, told apart from what it was meant to load: by the files that it opened."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from gateway.contracts.digests import digest_of
from gateway.contracts.files import FileState
from gateway.contracts.variants import EngineSpec
from gateway.models.adapter import FILES
from gateway.models.digest import CONTENT_PATTERNS, DigestCache, content_files, counts, hash_file, state_of
from gateway.models.unreadable import unreadable


def loaded_files(spec: EngineSpec) -> tuple[FileState, ...]:
    """Return the state of every file that the spec's digests cover, as it is now. Raises OSError."""
    return tuple(
        state_of(file) for directory, patterns, _ in _parts(spec) for file in content_files(Path(directory), patterns)
    )


def loaded_differs(spec: EngineSpec, files: Iterable[FileState], *, cache: DigestCache) -> str | None:
    """Return None where these files have the content that the spec's digests name, else what differs. Blocks.

    A file in a state that was never read is read now. Raises InvalidRequest (MODEL_UNREADABLE) where it has changed
    since the engine opened it: then nobody knows what that has loaded.
    """
    by_directory: dict[str, list[FileState]] = {}
    for file in files:
        by_directory.setdefault(str(Path(file.path).parent), []).append(file)
    for directory, patterns, expected in _parts(spec):
        opened = {Path(each.path).name: each for each in by_directory.get(directory, [])}
        digests = {name: _digest(each, cache) for name, each in opened.items() if counts(name, patterns)}
        if digest_of(digests) != expected:
            return f"the files in {directory} are not those that were registered"
    return None


def _parts(spec: EngineSpec) -> Iterator[tuple[str, Sequence[str], str]]:
    """Yield each directory of the engine with the names of the files that count, and their digest."""
    yield spec.path, CONTENT_PATTERNS, spec.weights_digest
    if spec.adapter_path is not None and spec.adapter_digest is not None:
        yield spec.adapter_path, FILES, spec.adapter_digest
    if spec.draft_path is not None and spec.draft_digest is not None:
        yield spec.draft_path, CONTENT_PATTERNS, spec.draft_digest


def _digest(state: FileState, cache: DigestCache) -> str:
    known = cache.cached_file_digest(state.path, state.size_bytes, state.mtime_ns, state.inode)
    if known is not None:
        return known
    file = Path(state.path)
    try:
        if state_of(file) == state:
            return hash_file(file, cache)
    except OSError as error:
        raise unreadable(f"{file} cannot be read ({error.strerror}): restore it") from error
    raise unreadable(f"{file} has changed since the engine opened it: register the model again")
