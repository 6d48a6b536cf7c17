"""The graders that a case may name. A later one is a file beside these and a line or two here.

Each is a Struct that holds what the case expects, and has

    kind          the `kind` of a case's grader
    version       raised by every change after which some completion might get another grade
    grade()       the text of a completion -> Grade, or Ungraded where it declines to judge
    describe()    the expectation in words, for a reader of the record

Some are made ready first, because they need more than that: `command` the suite's directory, `program` and
`plain_answer` its tools, and `composite`, which may hold any of them.
"""

from collections.abc import Iterator

from canary.grading.command import Command, ReadyCommand
from canary.grading.composite import Composite, ReadyComposite
from canary.grading.exact import Exact
from canary.grading.json_equal import JsonEqual
from canary.grading.json_schema import JsonSchema
from canary.grading.numeric import Numeric
from canary.grading.plain_answer import PlainAnswer, ReadyPlainAnswer
from canary.grading.program import Program, ReadyProgram
from canary.grading.regex import Regex
from canary.grading.setting import Grader, Setting
from canary.grading.text import Text
from canary.grading.tool_calls import ToolCalls

Expectation = (
    Exact | Regex | Numeric | Text | JsonEqual | JsonSchema | ToolCalls | Program | PlainAnswer | Command | Composite
)
"""What a case's `grader` may be, as written."""

GRADERS = (
    Exact,
    Regex,
    Numeric,
    Text,
    JsonEqual,
    JsonSchema,
    ToolCalls,
    Program,
    PlainAnswer,
    Command,
    Composite,
)


def grader_versions() -> dict[str, int]:
    """Return the version of each grader by its kind."""
    return {grader.kind: grader.version for grader in GRADERS}


def make_ready(expectation: Expectation, setting: Setting) -> Grader:
    """Return the grader of one case.

    Raises ValueError where a file or a tool that it names is not there, a world is of another type than its tool's, or
    the oracle fails.
    """
    match expectation:
        case Program():
            program = expectation.ready(setting.tools)
            program.check()
            return program
        case PlainAnswer():
            return expectation.ready(setting.tools)
        case Command():
            return expectation.ready(setting)
        case Composite(of=parts):
            return ReadyComposite(written=expectation, parts=tuple(make_ready(part, setting) for part in parts))
        case _:
            return expectation


def identity_of(grader: Grader) -> object:
    """Return what the case's digest covers of its grader: all that may change a grade, as plain data."""
    match grader:
        case ReadyProgram(task=task):
            return {"kind": grader.kind, "version": grader.version, "task": task}
        case ReadyCommand(written=written, file_digests=digests):
            return {"kind": grader.kind, "version": grader.version, "expectation": written, "files": digests}
        case ReadyComposite(written=written, parts=parts):
            rule = (written.rule, written.weights, written.threshold)
            return {
                "kind": grader.kind,
                "version": grader.version,
                "rule": rule,
                "parts": [identity_of(part) for part in parts],
            }
        case _:
            return {"kind": grader.kind, "version": grader.version, "expectation": grader}


def stubs_of(grader: Grader) -> str | None:
    """Return the tools that the model is offered, as it reads them; None for a grader that knows of none.

    Raises ValueError where the parts of a composite offer different ones: there is one prompt.
    """
    match grader:
        case ReadyProgram() | ReadyPlainAnswer():
            return grader.stubs()
        case ReadyComposite(parts=parts):
            offered = {stubs for part in parts if (stubs := stubs_of(part)) is not None}
            if len(offered) > 1:
                raise ValueError(
                    "the parts of the grader offer different tools, and there is one prompt to show them in"
                )
            return next(iter(offered), None)
        case _:
            return None


def parts_of(grader: Grader) -> Iterator[Grader]:
    """Yield the grader, and those inside a composite."""
    yield grader
    if isinstance(grader, ReadyComposite):
        for part in grader.parts:
            yield from parts_of(part)
