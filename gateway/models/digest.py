"""The digest of a model's content: every file that the engine reads, each hashed once for as long as it stays."""

import fnmatch
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from gateway.contracts.digests import digest_of
from gateway.contracts.files import FileState
from gateway.models.unreadable import unreadable

_READ_BYTES = 8 * 1024 * 1024
TOKENIZER_PATTERNS = (
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab*",
    "merges.txt",
    "*.tiktoken",
)
CONTENT_PATTERNS = (
    "config.json",
    "generation_config.json",
    "model*.safetensors",
    "model.safetensors.index.json",
    "hf_quant_config.json",
    *TOKENIZER_PATTERNS,
    "chat_template*",
    "*.jinja",
    "scripted.toml",
)
"""What mlx-lm's loader and the tokenizer open. A README or a licence changes no answer, so it changes no digest."""

OnProgress = Callable[[float, str], None]
"""Called with the share done, in [0, 1], and what is being done; from the thread that reads."""


class DigestCache(Protocol):
    """Digests of files that have been read before. `Registry` is one."""

    def cached_file_digest(self, path: str, size_bytes: int, mtime_ns: int, inode: int) -> str | None: ...
    def store_file_digest(self, path: str, size_bytes: int, mtime_ns: int, inode: int, digest: str) -> None: ...


def content_digest(
    directory: Path, *, cache: DigestCache, on_progress: OnProgress, patterns: Sequence[str] = CONTENT_PATTERNS
) -> str:
    """Return the SHA-256 over the name and SHA-256 of each file that the engine reads, which `patterns` name.

    Raises OSError where one cannot be read, and InvalidRequest (MODEL_UNREADABLE) where one changes while it is.
    """
    files = content_files(directory, patterns)
    found = {file: cache.cached_file_digest(*_state(file)) for file in files}
    unread = [file for file, digest in found.items() if digest is None]
    progress = _Progress(unread, on_progress)
    for file in unread:
        found[file] = hash_file(file, cache, on_bytes=progress.add)
    return digest_of({file.name: digest for file, digest in found.items()})


class _Progress:
    """Bytes read so far, told after each piece."""

    def __init__(self, files: Sequence[Path], on_progress: OnProgress) -> None:
        self._total_bytes = sum(_state(file)[1] for file in files)
        self._read_bytes = 0
        self._on_progress = on_progress

    def add(self, file: Path, read_bytes: int) -> None:
        self._read_bytes += read_bytes
        self._on_progress(min(1.0, self._read_bytes / max(1, self._total_bytes)), f"reading {file.name}")


def content_files(directory: Path, patterns: Sequence[str] = CONTENT_PATTERNS) -> list[Path]:
    """Return the files that `patterns` name, in order."""
    return sorted(file for file in directory.iterdir() if counts(file.name, patterns) and file.is_file())


def counts(name: str, patterns: Sequence[str] = CONTENT_PATTERNS) -> bool:
    """Say whether a file of this name is one that the patterns name."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def state_of(file: Path) -> FileState:
    """Return what tells this content from another, without reading it."""
    status = file.stat()
    return FileState(path=str(file), size_bytes=status.st_size, mtime_ns=status.st_mtime_ns, inode=status.st_ino)


def _state(file: Path) -> tuple[str, int, int, int]:
    """Return the same in the order of the cache's parameters."""
    state = state_of(file)
    return state.path, state.size_bytes, state.mtime_ns, state.inode


def hash_file(
    file: Path, cache: DigestCache, *, on_bytes: Callable[[Path, int], None] = lambda _file, _count: None
) -> str:
    """Read the file, note its digest in the cache and return it. Raises OSError, and InvalidRequest as above."""
    before = _state(file)
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(_READ_BYTES))
    with file.open("rb", buffering=0) as stream:
        # No further than it was long: one that grows faster than it is read must not hold this thread for ever.
        while stream.tell() < before[1] and (count := stream.readinto(buffer)):
            digest.update(buffer[:count])
            on_bytes(file, count)
    if _state(file) != before:
        raise unreadable(f"{file} changed while it was read: try again when it is complete")
    cache.store_file_digest(*before, digest.hexdigest())
    return digest.hexdigest()
