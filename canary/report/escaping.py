"""Make text from elsewhere (prompts, completions, names, messages) harmless in a terminal and in Markdown."""

import re
import unicodedata

MAX_CHARACTERS = 400
"""Of one completion or prompt in a report; the record holds all of it."""
MAX_PAGE_CHARACTERS = 4000
"""The same on a page, where there is more room."""

# Control, format (bidirectional overrides, zero width), surrogate, private use and unassigned characters, and the two
# separators that some readers take for a new line.
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_NAMED_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
# A closing bracket, an underscore inside a word and a colon before a space or a digit start nothing: escaping them
# would only make the source hard to read.
_MARKDOWN_SPECIAL = re.compile(r"([\\`*\[<>#|~&$]|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])|:(?=[A-Za-z/+-]))")


def visible(text: str) -> str:
    """Return one line without any character that a terminal obeys or that cannot be seen: each is spelled out."""
    return "".join(_spell(char) if _is_hidden(char) else char for char in text)


def shortened(text: str) -> str:
    """Return `visible` text of at most MAX_CHARACTERS of the original, saying how many are left out."""
    return visible(cut(text, MAX_CHARACTERS))


def multiline(text: str) -> str:
    """Return text for a page: lines and tabs as they are, all else that cannot be seen spelled out."""
    return "".join(_spell(char) if _is_hidden(char) and char not in "\n\t" else char for char in text)


def cut(text: str, most: int = MAX_PAGE_CHARACTERS) -> str:
    """Return at most so many characters of a text, saying how many are left out."""
    left_out = len(text) - most
    return text if left_out <= 0 else f"{text[:most]}... ({left_out} more characters)"


def markdown_text(text: str) -> str:
    """Return text that Markdown prints as it stands, in a paragraph and in a table's cell."""
    return _MARKDOWN_SPECIAL.sub(r"\\\1", visible(text))


def markdown_code(text: str) -> str:
    """Return a code span that the text cannot end; not for a table's cell, where `|` would."""
    shown = shortened(text) or "(empty)"
    longest_run = max((len(run) for run in re.findall(r"`+", shown)), default=0)
    fence = "`" * (longest_run + 1)
    # Markdown takes one space off each end where both are there: a backtick or a space at an end needs that pair.
    pad = " " if shown[0] in "` " or shown[-1] in "` " else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def json_text(document: str) -> str:
    """Return a JSON document with the hidden characters of its strings as escapes: it decodes to the same."""
    return "".join(_json_escape(char) if char != "\n" and _is_hidden(char) else char for char in document)


def _is_hidden(char: str) -> bool:
    return unicodedata.category(char) in _HIDDEN_CATEGORIES


def _spell(char: str) -> str:
    if char in _NAMED_ESCAPES:
        return _NAMED_ESCAPES[char]
    code = ord(char)
    if code <= 0xFF:  # noqa: PLR2004 - the last code that two digits spell
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - as above, of four digits


def _json_escape(char: str) -> str:
    encoded = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{encoded[at : at + 2].hex()}" for at in range(0, len(encoded), 2))
