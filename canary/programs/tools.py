"""Tools that a program may call: their catalogue, their signatures, and a call's arguments bound to one."""

import keyword
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec

from canary.programs.shapes import Shape, check_shape, conform

Arguments = dict[str, Any]

_canonical = msgspec.json.Encoder(order="deterministic")


class Tool(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One function of the catalogue, as `tools.toml` writes it under the tool's name."""

    description: Annotated[str, msgspec.Meta(min_length=1)]
    effect: bool = False
    """It changes something: its calls are compared. Other calls only read, and are free."""
    arguments: dict[str, Shape] = {}
    defaults: dict[str, Any] = {}
    """Of the arguments that may be left out, which are the last ones."""
    returns: Shape = {}
    """An empty record is None, and needs nothing in a world."""

    def complaint(self) -> str | None:
        """Return what is wrong with the definition."""
        try:
            check_shape(self.returns, "returns")
            for name, shape in self.arguments.items():
                if not name.isidentifier() or keyword.iskeyword(name):
                    return f"{name!r} is no name for an argument"
                check_shape(shape, f"argument {name}")
            for name, value in self.defaults.items():
                if name not in self.arguments:
                    return f"the default of {name!r} belongs to no argument"
                conform(value, self.arguments[name], f"default of {name}")
        except ValueError as error:
            return str(error)
        required = [name not in self.defaults for name in self.arguments]
        return None if required == sorted(required, reverse=True) else "an argument with a default precedes one without"

    def bind(self, positional: Sequence[Any], named: Mapping[str, Any]) -> Arguments:
        """Return all arguments by name, defaults filled in. Raises ValueError as Python would raise TypeError."""
        names = list(self.arguments)
        if len(positional) > len(names):
            raise ValueError(f"takes {len(names)} arguments, not {len(positional)}")
        given = dict(zip(names, positional, strict=False))
        for name, value in named.items():
            if name not in self.arguments:
                raise ValueError(f"has no argument {name!r}; it has {', '.join(names) or 'none'}")
            if name in given:
                raise ValueError(f"was given {name!r} twice")
            given[name] = value
        bound = self.defaults | given
        missing = [name for name in names if name not in bound]
        if missing:
            raise ValueError(f"needs {', '.join(missing)}")
        return {name: conform(bound[name], self.arguments[name], name) for name in names}


Catalogue = dict[str, Tool]


class ToolsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of `tools.toml`."""

    tools: Catalogue


def read_catalogue(content: bytes) -> Catalogue:
    """Read a `tools.toml`. Raises ValueError (msgspec's errors are such), which names the tool."""
    catalogue = msgspec.toml.decode(content, type=ToolsFile).tools
    check_catalogue(catalogue)
    return catalogue


def check_catalogue(catalogue: Catalogue) -> None:
    """Raise ValueError, which names the tool, where a definition is wrong."""
    for name, tool in catalogue.items():
        complaint = (
            tool.complaint() if name.isidentifier() and not keyword.iskeyword(name) else "no name for a function"
        )
        if complaint:
            raise ValueError(f"tool {name}: {complaint}")


def argument_key(arguments: Arguments) -> str:
    """Return the key under which a world holds the return for these arguments: their JSON, names sorted, no space."""
    return _canonical.encode(arguments).decode()
