"""The owner's own executable: what it is told, what it may answer, and every way it can go wrong."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from canary.grading import Setting, identity_of
from canary.grading.command import MAX_OUTPUT_BYTES, Command, ReadyCommand
from gateway.contracts.evaluations import Grade, Metric, Ungraded

Write = Callable[..., ReadyCommand]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a shell script into a suite's directory and return the grader that runs it."""

    def write(script: str, *, timeout_s: float = 20.0) -> ReadyCommand:
        path = tmp_path / "grade.sh"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        command = Command(command=("./grade.sh", "--strict"), expected={"total": 4}, timeout_s=timeout_s)
        return command.ready(
            Setting(directory=tmp_path, tools={}, case_id="sum-1", place="cases.jsonl, line 3", prompt="2 + 2?")
        )

    return write


def ungraded(grader: ReadyCommand) -> str:
    grade = grader.grade("4")
    assert isinstance(grade, Ungraded)
    return grade.reason


def test_the_command_reads_the_case_and_writes_a_grade(write: Write, tmp_path: Path) -> None:
    reply = '{"value": 0.5, "reason": "half", "measures": {"field_access": 1}}'
    grade = write(f"cat > seen.json; echo \"$1\" >> seen.json; echo '{reply}'").grade("the answer is 4")
    assert grade == Grade(value=0.5, reason="half", measures={Metric.FIELD_ACCESS: 1.0})
    seen = (tmp_path / "seen.json").read_text()
    assert seen == (
        '{"case_id":"sum-1","prompt":"2 + 2?","answer":"the answer is 4","expected":{"total":4}}' + "--strict\n"
    )


def test_the_command_may_decline(write: Write) -> None:
    assert ungraded(write("""echo '{"value": null, "reason": "not mine"}'""")) == "not mine"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 3", "the command ended with status 3"),
        ("kill -SEGV $$", "the command was ended by SIGSEGV"),
        ("echo yes", "the command wrote no grade: JSON is malformed"),
        (":", "the command wrote no grade"),
        ("""echo '{"value": 1.5}'""", "the command wrote no grade: Expected `float` <= 1.0"),
        ("""echo '{"value": 1, "colour": "red"}'""", "unknown field `colour`"),
        ("""echo '{"value": 1}'; exit 1""", "the command ended with status 1"),
        ("yes", f"the command wrote more than {MAX_OUTPUT_BYTES} bytes"),
    ],
)
def test_a_command_that_goes_wrong_leaves_the_trial_ungraded(write: Write, script: str, words: str) -> None:
    assert words in ungraded(write(script))


@pytest.mark.parametrize("script", ["sleep 60", "exec 1>&-; sleep 60", "trap '' TERM; while :; do :; done"])
def test_a_command_that_hangs_leaves_the_trial_ungraded(write: Write, script: str) -> None:
    assert ungraded(write(script, timeout_s=0.3)) == "cases.jsonl, line 3: the command took longer than 0.3 s"


def test_a_script_without_an_interpreter_is_ungraded(write: Write, tmp_path: Path) -> None:
    grader = write(":")
    (tmp_path / "grade.sh").write_text("#!/nowhere\n")
    assert "the command cannot be started: No such file" in ungraded(grader)


def test_a_command_that_ends_is_not_waited_for_because_its_child_holds_the_output(write: Write, tmp_path: Path) -> None:
    grader = write("""sleep 300 & echo $! > child.pid; echo '{"value": 1}'""")
    assert grader.grade("4") == Grade(value=1.0, reason="as the command says")
    assert_gone(tmp_path / "child.pid")


@pytest.mark.parametrize("start", ["sleep 300 &", "setsid sleep 300 &"])
def test_a_command_that_hangs_is_killed_with_its_children(write: Write, tmp_path: Path, start: str) -> None:
    grader = write(f"{start} echo $! > child.pid; sleep 300", timeout_s=1.0)
    assert "took longer" in ungraded(grader)
    assert_gone(tmp_path / "child.pid")


def test_no_key_reaches_the_command(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_API_KEY", "secret")
    script = """if [ -n "$GATEWAY_API_KEY" ]; then echo '{"value": 0}'; else echo '{"value": 1}'; fi"""
    assert write(script).grade("4") == Grade(value=1.0, reason="as the command says")


@pytest.mark.parametrize(
    ("command", "files", "words"),
    [
        (("python3",), (), "must be a file of the suite, written as ./python3"),
        (("./missing.sh",), (), "./missing.sh is not executable"),
        (("./plain.txt",), (), "./plain.txt is not executable"),
        (("/bin/sh",), (), "/bin/sh lies outside the suite's directory"),
        (("./../escape.sh",), (), "lies outside the suite's directory"),
        (("./link.sh",), (), "lies outside the suite's directory"),
        (("./folder",), (), "./folder is no regular file"),
        (("./run.sh",), ("./missing.json",), "./missing.json: No such file"),
    ],
)
def test_what_cannot_be_run_is_refused_when_read(
    tmp_path: Path, command: tuple[str, ...], files: tuple[str, ...], words: str
) -> None:
    (tmp_path / "plain.txt").write_text("text")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.sh").symlink_to("/bin/sh")
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "run.sh").chmod(0o755)
    with pytest.raises(ValueError, match="command") as raised:
        Command(command=command, files=files).ready(
            Setting(directory=tmp_path, tools={}, case_id="c", place="cases.jsonl, line 3", prompt="?")
        )
    assert words in str(raised.value)


def test_the_identity_covers_the_content_of_its_files_and_not_their_place(tmp_path: Path) -> None:
    def identity(folder: str, script: str, data: str) -> object:
        directory = tmp_path / folder
        directory.mkdir(exist_ok=True)
        (directory / "run.sh").write_text(script)
        (directory / "run.sh").chmod(0o755)
        (directory / "data.json").write_text(data)
        command = Command(command=("./run.sh",), files=("./data.json",))
        return identity_of(
            command.ready(Setting(directory=directory, tools={}, case_id="c", place="cases.jsonl, line 3", prompt="?"))
        )

    first = identity("a", "#!/bin/sh\n", "1")
    assert identity("b", "#!/bin/sh\n", "1") == first
    assert identity("a", "#!/bin/sh\n:\n", "1") != first
    assert identity("a", "#!/bin/sh\n", "2") != first


def assert_gone(pid_file: Path) -> None:
    pid = int(pid_file.read_text())
    deadline_s = time.monotonic() + 10
    while time.monotonic() < deadline_s:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return
        time.sleep(0.01)
    os.kill(pid, 9)
    raise AssertionError("the command's child lives")
