"""The suite's own executable judges the answer."""

import hashlib
import os
import stat
from pathlib import Path
from typing import Annotated, Any, ClassVar

import msgspec

from canary.grading.child import run_child
from canary.grading.setting import Setting
from gateway.contracts.evaluations import Grade, Metric, Ungraded

MAX_OUTPUT_BYTES = 64 * 1024

Ratio = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Command(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="kind",
    tag="command",
):
    """`{"kind": "command", "command": ["./grade.py"], "expected": {"total": 41.5}}`.

    The first word is an executable file inside the suite's directory. It reads one JSON object from standard input,

        {"case_id": "...", "prompt": "...", "answer": "...", "expected": ...}

    and writes one to standard output: `{"value": 0.5, "reason": "half of it is right"}`, with the value in [0, 1] and,
    if it measures more, `"measures": {"field_access": 1.0}`. `"value": null` declines to judge. It runs in the suite's
    directory with an environment of PATH, HOME and LANG only. One that ends with a status other than 0, writes anything
    else, or takes longer than `timeout_s` leaves the trial ungraded, and is killed with the processes it started.
    """

    kind: ClassVar[str] = "command"
    version: ClassVar[int] = 1

    command: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    expected: Any = None
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=600)] = 10.0
    files: tuple[str, ...] = ()
    """What it reads besides: modules and data inside the suite's directory, covered by the suite's digest as it is."""

    def ready(self, setting: Setting) -> "ReadyCommand":
        """Raises ValueError where a file is not there, not inside the suite, or cannot be run."""
        names = (self.command[0], *self.files)
        paths = [_inside(setting.directory, name) for name in names]
        if not os.access(paths[0], os.X_OK):
            raise ValueError(f"`command`: {names[0]} is not executable (chmod +x, and a #! line for a script)")
        return ReadyCommand(
            written=self,
            setting=setting,
            executable=str(paths[0]),
            file_digests={name: _digest(path, name) for name, path in zip(names, paths, strict=True)},
        )


class ReadyCommand(msgspec.Struct, frozen=True, kw_only=True):
    kind: ClassVar[str] = Command.kind
    version: ClassVar[int] = Command.version

    written: Command
    setting: Setting
    executable: str
    file_digests: dict[str, str]

    def grade(self, answer: str) -> Grade | Ungraded:
        question = {
            "case_id": self.setting.case_id,
            "prompt": self.setting.prompt,
            "answer": answer,
            "expected": self.written.expected,
        }
        end = run_child(
            (self.executable, *self.written.command[1:]),
            directory=self.setting.directory,
            standard_input=msgspec.json.encode(question),
            timeout_s=self.written.timeout_s,
            max_output_bytes=MAX_OUTPUT_BYTES,
        )
        if end.complaint is not None:
            return Ungraded(reason=f"{self.setting.place}: the command {end.complaint}")
        try:
            reply = msgspec.json.decode(end.output, type=_Reply)
        except (msgspec.DecodeError, RecursionError) as error:
            return Ungraded(reason=f"{self.setting.place}: the command wrote no grade: {error}")
        if reply.value is None:
            return Ungraded(reason=reply.reason or "the command declines")
        return Grade(value=reply.value, reason=reply.reason or "as the command says", measures=reply.measures)

    def describe(self) -> str:
        expected = (
            "" if self.written.expected is None else f", given {msgspec.json.encode(self.written.expected).decode()}"
        )
        return f"what {' '.join(self.written.command)} accepts{expected}"


class _Reply(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    value: Ratio | None
    reason: str = ""
    measures: dict[Metric, Ratio] = {}


def _inside(directory: Path, name: str) -> Path:
    if "/" not in name:
        raise ValueError(
            f"`command`: {name!r} must be a file of the suite, written as ./{name}: its content is in the digest"
        )
    root = directory.resolve()
    path = (root / name).resolve()
    if not path.is_relative_to(root):
        raise ValueError(f"`command`: {name} lies outside the suite's directory")
    return path


def _digest(path: Path, name: str) -> str:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ValueError(f"`command`: {name} is no regular file")
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ValueError(f"`command`: {name}: {error.strerror or error}") from error
