"""The operating system's limits around the sandbox, put on by the child process before it reads anything."""

import contextlib
import ctypes
import resource
import sys

ADDRESS_SPACE_BYTES = 2 * 1024**3
CPU_S = 600
OPEN_FILES_COUNT = 64

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_PR_SET_NO_NEW_PRIVS = 38


def put_on() -> tuple[str, ...]:
    """Limit this process and those it starts, and return the names of the limits that the platform granted.

    macOS refuses some of them and has no namespaces; there the interpreter's own limits, and that it has no sockets and
    no files, stand alone.
    """
    limits = {
        "address_space": (resource.RLIMIT_AS, ADDRESS_SPACE_BYTES),
        "cpu": (resource.RLIMIT_CPU, CPU_S),
        "no_core": (resource.RLIMIT_CORE, 0),
        "no_file": (resource.RLIMIT_FSIZE, 0),
        "open_files": (resource.RLIMIT_NOFILE, OPEN_FILES_COUNT),
    }
    granted = [name for name, (limit, value) in limits.items() if _set_limit(limit, value)]
    if sys.platform == "linux":
        granted += _leave_the_network()
    return tuple(granted)


def forbid_processes(pid: int) -> None:
    """Let a running process start no other, where the platform can say so of another process."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            resource.prlimit(pid, resource.RLIMIT_NPROC, (0, 0))


def _set_limit(limit: int, value: int) -> bool:
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(limit, (value, value))
        return True
    return False


def _leave_the_network() -> list[str]:
    """Move into a network namespace that holds nothing, where the kernel lets an ordinary user do so."""
    libc = ctypes.CDLL(None, use_errno=True)
    granted = ["no_new_privileges"] if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 else []
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0:
        granted.append("no_network")
    return granted
