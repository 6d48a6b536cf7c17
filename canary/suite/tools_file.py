"""Read `tools.toml`, the catalogue of the tools that a suite's programs may call."""

import re
from pathlib import Path

import msgspec

from canary.errors import SuiteError
from canary.programs.tools import Catalogue, read_catalogue
from canary.suite.text_files import read_text
from canary.suite.toml_lines import line_of, line_of_complaint

TOOLS_FILE = "tools.toml"
MAX_TOOLS_BYTES = 256 * 1024

_TOOL = re.compile(r"tool (?P<name>\w+): ")


def read_tools(directory: Path) -> Catalogue:
    """Return the catalogue, empty where the suite has none. Raises SuiteError with the file and the line."""
    path = directory / TOOLS_FILE
    if not path.exists():
        return {}
    text = read_text(path, max_bytes=MAX_TOOLS_BYTES)
    try:
        return read_catalogue(text.encode())
    except RecursionError as error:
        raise SuiteError(f"{path}: nested too deeply") from error
    except msgspec.DecodeError as error:
        raise _refusal(path, line_of_complaint(text, str(error)), error) from error
    except ValueError as error:
        named = _TOOL.match(str(error))
        raise _refusal(path, line_of(text, ("tools", named["name"])) if named else None, error) from error


def _refusal(path: Path, line: int | None, error: Exception) -> SuiteError:
    place = str(path) if line is None else f"{path}, line {line}"
    return SuiteError(f"{place}: {error}")
