"""End with the parent even where no thread of this process runs.

The text thread ends the process at the end of file on its socket. It cannot while the process is stopped, or while a
call into a library holds the interpreter. Linux kills it then; elsewhere the gateway's next start does
(`gateway/fleet/leftovers.py`).
"""

import ctypes
import signal
import sys

_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Have the system kill this process when the thread that started it ends, which is the gateway's main thread."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    # A kernel that refuses leaves what there is everywhere else: the socket.
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
