"""How a job's process speaks: one JSON object in argv[1], JSON lines on stdout, the last a result or an error.

    {"progress": 0.25, "message": "..."}
    {"result": {...}}    or    {"error": "one sentence"}, with exit status 1

Nothing else reaches stdout: what libraries print goes to stderr. A job ends with its parent.
"""

import os
import signal
import stat
import sys
import threading
from collections.abc import Callable
from typing import TextIO, TypeVar

import msgspec

ORPHANED_STATUS = 75

Request = TypeVar("Request", bound=msgspec.Struct)
Report = Callable[[float, str], None]
"""Takes the share that is done, in [0, 1], and what is being done."""


class JobError(Exception):
    """The job cannot be done; the text is one sentence that names the file and the remedy."""


def run(request_type: type[Request], work: Callable[[Request, Report], dict[str, object]]) -> int:
    """Do the work that argv[1] asks for and return the exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides what it means.
    lines = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    _end_with_parent()
    try:
        request = msgspec.json.decode(sys.argv[1], type=request_type)
        result = work(request, lambda share, message: _say(lines, {"progress": share, "message": message}))
    except (JobError, msgspec.ValidationError) as error:
        _say(lines, {"error": str(error)})
        return 1
    _say(lines, {"result": result})
    return 0


def _say(lines: TextIO, line: dict[str, object]) -> None:
    lines.write(msgspec.json.encode(line).decode() + "\n")
    lines.flush()


def _end_with_parent() -> None:
    """Exit when stdin ends, where it is a pipe: the parent keeps the other end open and never writes to it."""
    mode = os.fstat(sys.stdin.fileno()).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
        threading.Thread(target=_exit_on_end_of_input, daemon=True).start()


def _exit_on_end_of_input() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(ORPHANED_STATUS)
