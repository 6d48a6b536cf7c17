"""The one fenced block of an answer."""

import re

MAX_SOURCE_CHARS = 32_768

# Indented as deep as it likes: models put a block below an item of a list.
_OPENING = re.compile(r"(?P<indent>[ \t]*)(?P<fence>`{3,}|~{3,})[ \t]*(?P<info>[^`\n]*)")
_LANGUAGES = frozenset({"", "python", "py", "python3"})
_THOUGHTS_END = "</think>"


class NoProgram(ValueError):
    """An answer without a program that can be taken out; the message says why."""


def take_program(answer: str) -> str:
    """Return the source in the answer's one fenced block. Raises NoProgram."""
    blocks = fenced_blocks(answer)
    if len(blocks) != 1:
        raise NoProgram(f"one fenced block is needed, and the answer has {len(blocks) or 'none'}")
    info, source = blocks[0]
    if source is None:
        raise NoProgram("the fenced block is not closed")
    if info.split(" ")[0].lower() not in _LANGUAGES:
        raise NoProgram(f"the fenced block is {info!r}, not Python")
    if len(source) > MAX_SOURCE_CHARS:
        raise NoProgram(f"the program has more than {MAX_SOURCE_CHARS} characters")
    try:
        source.encode()
    except UnicodeEncodeError as error:
        raise NoProgram("the program is not valid Unicode") from error
    return source


def without_thoughts(answer: str) -> str:
    """Return the answer without what a reasoning model thinks aloud, up to `</think>`."""
    return answer.rpartition(_THOUGHTS_END)[2]


def fenced_blocks(answer: str) -> list[tuple[str, str | None]]:
    """Return info string and content of each fenced block; the content of one that does not end is None."""
    blocks: list[tuple[str, str | None]] = []
    fence, indent, info, inside = "", "", "", list[str]()
    for line in without_thoughts(answer).replace("\r\n", "\n").split("\n"):
        if fence:
            closing = line.strip()
            if len(closing) >= len(fence) and closing == fence[0] * len(closing):
                blocks.append((info, "\n".join(inside) + "\n"))
                fence, inside = "", []
            else:
                inside.append(line.removeprefix(indent))
        elif opening := _OPENING.fullmatch(line):
            fence, indent, info = opening["fence"], opening["indent"], opening["info"].strip()
    if fence:
        blocks.append((info, None))
    return blocks
