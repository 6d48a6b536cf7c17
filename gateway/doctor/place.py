"""Where the gateway keeps and takes what it needs: the state directory, and the secrets of its keys."""

import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from gateway.doctor.finding import Finding, failure, not_checked, ok, refusal, warning
from gateway.errors import StartError
from gateway.fleet.budget import gib
from gateway.issued_keys import put_issued
from gateway.keys import KeyRing, check_reach, load_keys
from gateway.registry import RegistryReading
from gateway.settings import GIB, Settings

_REMOTE = frozenset(
    {"9p", "afpfs", "cifs", "fuse.sshfs", "nfs", "nfs3", "nfs4", "smb3", "smbfs", "virtiofs", "webdav"},
)
"""File systems on which locks, or SQLite's log beside the file, are not to be relied on."""
_LEAST_FREE_BYTES = GIB // 4
_MUCH_FREE_BYTES = 5 * GIB
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def examine_state(
    state_dir: Path, registry: RegistryReading | None, *, holder: int | None, largest_model_bytes: int
) -> Iterator[Finding]:
    """Yield what there is to say of the directory, its disk and its registry; `holder` uses it now."""
    yield _directory(state_dir, holder)
    place = _existing(state_dir)
    yield _file_system(place)
    yield _disk(place, largest_model_bytes)
    yield _registry(registry)


def examine_keys(settings: Settings, registry: RegistryReading | None, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield whether the secrets are there and nobody else's to read, and whether the gateway may be bound as it is."""
    for entry in settings.keys:
        if entry.secret_file is None:
            continue
        file = Path(entry.secret_file).expanduser()
        if _is_there(file) and stat.S_IMODE(file.stat().st_mode) & _OTHERS:
            yield warning(f"secret of {entry.name}", f"{file} can be read by others", f"chmod 600 {file}")
    try:
        ring = load_keys(settings.keys, environ=environ)
        put_issued(ring, registry.keys if registry is not None else ())
        check_reach(settings, ring)
    except StartError as error:
        yield refusal("keys", error)
        return
    yield ok("keys", _reach(settings, ring))


def _reach(settings: Settings, ring: KeyRing) -> str:
    if ring.is_open:
        return f"none, and {settings.server.host} is this machine's alone"
    return f"{len(ring.everyone())}, for {settings.server.host}"


def _directory(state_dir: Path, holder: int | None) -> Finding:
    check = "state directory"
    if not _is_there(state_dir):
        place = _existing(state_dir)
        if not os.access(place, os.W_OK | os.X_OK):
            remedy = "give this user the right to write there, or name another with --state-dir"
            return failure(check, f"{state_dir} can neither be seen nor made: {place} is not writable", remedy)
        return ok(check, f"{state_dir} is made by the first start")
    if not state_dir.is_dir() or not os.access(state_dir, os.R_OK | os.W_OK | os.X_OK):
        remedy = "give this user the right to read and write there, or name another with --state-dir"
        return failure(check, f"{state_dir} is not this user's to write", remedy)
    if stat.S_IMODE(state_dir.stat().st_mode) & _OTHERS:
        seen = f"{state_dir} can be read by others, and prompts of recorded cases lie in it"
        return warning(check, seen, f"chmod 700 '{state_dir}'")
    used = f", used by the gateway of process {holder}" if holder is not None else ""
    return ok(check, f"{state_dir}{used}")


def _file_system(place: Path) -> Finding:
    check = "file system"
    mounts = [part for part in psutil.disk_partitions(all=True) if place.is_relative_to(part.mountpoint)]
    if not mounts:
        return not_checked(check, f"the system does not say what {place} is mounted from")
    kind = max(mounts, key=lambda part: len(Path(part.mountpoint).parts)).fstype
    if kind.lower() in _REMOTE:
        return failure(check, f"{place} is on {kind}, where locks do not hold", "name a local disk with --state-dir")
    return ok(check, kind)


def _disk(place: Path, largest_model_bytes: int) -> Finding:
    free_bytes = shutil.disk_usage(place).free
    about = f"{gib(free_bytes)} free at {place}"
    if free_bytes < _LEAST_FREE_BYTES:
        return failure("disk", about, "make room: the registry cannot record; `canary archive` tells what could go")
    if free_bytes < max(_MUCH_FREE_BYTES, largest_model_bytes):
        seen = (
            f"{about}; a build of the largest model takes {gib(largest_model_bytes)}" if largest_model_bytes else about
        )
        return warning("disk", seen, "make room before a build or a download: `canary archive` tells what could go")
    return ok("disk", about)


def _registry(registry: RegistryReading | None) -> Finding:
    if registry is None:
        return ok("registry", "none yet; the first start makes it")
    if registry.problem:
        remedy = "restore it from a backup, or move it away to start with an empty one"
        return failure("registry", registry.problem, remedy)
    if registry.version > registry.known_version:
        seen = f"its schema is version {registry.version}, and this gateway knows {registry.known_version}"
        return failure("registry", seen, "update the gateway, or name another directory with --state-dir")
    if registry.version < registry.known_version:
        return ok("registry", f"version {registry.version}; the next start brings it to {registry.known_version}")
    counts = f"{len(registry.deployments)} deployments, {len(registry.variants)} variants, {len(registry.keys)} keys"
    return ok("registry", f"version {registry.version}: {counts}")


def _existing(path: Path) -> Path:
    """Return the path, or the nearest directory above it that is there."""
    return next(place for place in (path, *path.parents) if _is_there(place))


def _is_there(path: Path) -> bool:
    """Say whether it exists, as far as this user may see."""
    try:
        return path.exists()
    except PermissionError:
        return False
