"""Read the text files of suites and of other tools' data: bounded, UTF-8, and every complaint with its line."""

from collections.abc import Iterator
from pathlib import Path

from canary.errors import SuiteError

MAX_LINE_BYTES = 1024 * 1024
MAX_FILE_BYTES = 64 * 1024 * 1024
"""Of a file that must be read whole."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield each line with its number, from 1, without its end (LF or CRLF); a byte order mark at the start is skipped.

    Raises SuiteError where the file cannot be read, a line is longer than MAX_LINE_BYTES (of which no more is read), or
    not UTF-8.
    """
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(line) > MAX_LINE_BYTES:
                    raise SuiteError(f"{path}, line {number}: longer than {MAX_LINE_BYTES} bytes")
                if number == 1:
                    line = line.removeprefix(_BYTE_ORDER_MARK)
                yield number, _decoded(path, number, line)
    except OSError as error:
        raise SuiteError(f"{path}: {error.strerror or error}") from error


def read_text(path: Path, *, max_bytes: int = MAX_FILE_BYTES) -> str:
    """Return the whole text, lines ended by LF. Raises SuiteError as `read_lines`, and where it is too large."""
    parts: list[str] = []
    size_bytes = 0
    for number, line in read_lines(path):
        size_bytes += len(line.encode()) + 1
        if size_bytes > max_bytes:
            raise SuiteError(f"{path}, line {number}: the file is larger than {max_bytes} bytes")
        parts.append(line + "\n")
    return "".join(parts)


def _decoded(path: Path, number: int, line: bytes) -> str:
    try:
        return line.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise SuiteError(f"{path}, line {number}: not UTF-8: {error.reason} at byte {error.start}") from error
