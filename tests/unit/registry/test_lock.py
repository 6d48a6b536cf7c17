"""One gateway a state directory."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.errors import StartError
from gateway.registry import StateLock

HOLD = """
import sys
from pathlib import Path
from gateway.registry import StateLock
StateLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
sys.stdin.read()
"""

# Root may write everywhere, so the child that must not gives that up first.
TRY_AS_NOBODY = """
import os, sys
from pathlib import Path
from gateway.errors import StartError
from gateway.registry import StateLock
if os.geteuid() == 0:
    os.seteuid(65534)
try:
    StateLock(Path(sys.argv[1])).acquire()
except StartError as error:
    print(error)
"""


def test_a_second_gateway_is_told_who_holds_the_directory(tmp_path: Path) -> None:
    with StateLock(tmp_path), pytest.raises(StartError) as raised:
        StateLock(tmp_path).acquire()
    assert f"in use by another gateway (pid {os.getpid()})" in str(raised.value)
    assert "--state-dir" in str(raised.value)


def test_the_lock_can_be_taken_again_after_release(tmp_path: Path) -> None:
    lock = StateLock(tmp_path / "new" / "directory")
    lock.acquire()
    lock.release()
    lock.release()
    with StateLock(tmp_path / "new" / "directory"):
        pass


def test_a_killed_gateway_leaves_no_lock_behind(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StartError, match=f"pid {holder.pid}"):
            StateLock(tmp_path).acquire()
        holder.send_signal(signal.SIGKILL)
        holder.wait(timeout=10)
    with StateLock(tmp_path):
        pass


def test_a_directory_without_the_right_to_write_is_refused(tmp_path: Path) -> None:
    state_dir = tmp_path / "state"
    state_dir.mkdir(mode=0o500)
    for parent in (state_dir.parents[1], state_dir.parent):
        parent.chmod(0o755)
    tried = subprocess.run(
        [sys.executable, "-c", TRY_AS_NOBODY, str(state_dir)], capture_output=True, text=True, timeout=30, check=True
    )
    assert f"state directory {state_dir} is not writable (Permission denied)" in tried.stdout
    assert "--state-dir" in tried.stdout


def test_a_path_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match="not writable"):
        StateLock(tmp_path / "file" / "state").acquire()


def test_the_directory_is_the_owners_alone(tmp_path: Path) -> None:
    with StateLock(tmp_path / "state"):
        assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
