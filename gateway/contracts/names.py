"""What a name may be that somebody gives: it stands in headers, in tables and in lines of the log, and breaks none."""

from typing import Annotated

from msgspec import Meta

_END = r"$(?!\n)"
"""Of the text; alone, `$` is also where a last line feed begins."""

KEY_NAME = rf"^[A-Za-z0-9][A-Za-z0-9._-]{{0,63}}{_END}"
KeyName = Annotated[str, Meta(pattern=KEY_NAME)]
VariantName = Annotated[str, Meta(pattern=rf"^[A-Za-z0-9][A-Za-z0-9._-]{{0,127}}{_END}")]
"""As it stands before the `@` of a reference."""
PrintedName = Annotated[str, Meta(pattern=rf"^[^\x00-\x1f\x7f]+{_END}")]
"""Without control characters."""
