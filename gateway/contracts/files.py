"""A file's state, by which another content is known without reading it."""

import msgspec


class FileState(msgspec.Struct, frozen=True, kw_only=True):
    """What of a file changes when its content does."""

    path: str
    size_bytes: int
    mtime_ns: int
    inode: int
