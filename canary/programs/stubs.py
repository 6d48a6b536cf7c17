"""Tools as a model reads them: Python stubs with typed records, the same text for the same tools."""

import msgspec

from canary.programs.shapes import Shape
from canary.programs.tools import Catalogue, Tool


def render_stubs(tools: Catalogue) -> str:
    """Return `TypedDict` classes and function stubs for these tools, in this order."""
    classes = _Classes()
    functions = [_function(name, tool, classes) for name, tool in tools.items()]
    return "\n\n".join([*classes.texts, *functions])


class _Classes:
    """The record types, each written once: records of one shape share a class, before its first use."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._names: dict[bytes, str] = {}

    def annotation(self, shape: Shape, name: str, parent: str = "") -> str:
        """Return the type's name; a record's is `name`, with its parent's before it where another has that already."""
        match shape:
            case str():
                return shape
            case [inner]:
                return f"list[{self.annotation(inner, name.removesuffix('s'), parent)}]"
            case {} if not shape:
                return "None"
            case _:
                return self._record(shape, name, parent)

    def _record(self, shape: dict[str, Shape], name: str, parent: str) -> str:
        key = msgspec.json.encode(shape)
        if key not in self._names:
            taken = self._names.values()
            choices = (name, f"{parent}{name}", f"{parent}{name}{len(taken)}")
            unique = next(choice for choice in choices if choice not in taken)
            self._names[key] = unique
            fields = [f"    {field}: {self.annotation(inner, _camel(field), unique)}" for field, inner in shape.items()]
            self.texts.append("\n".join([f"class {unique}(TypedDict):", *fields]))
        return self._names[key]


def _function(name: str, tool: Tool, classes: _Classes) -> str:
    parameters = ", ".join(
        f"{argument}: {classes.annotation(shape, _camel(argument))}"
        + (f" = {tool.defaults[argument]!r}" if argument in tool.defaults else "")
        for argument, shape in tool.arguments.items()
    )
    noun = name.split("_", 1)[-1]
    returns = classes.annotation(tool.returns, _camel(noun))
    return f'def {name}({parameters}) -> {returns}:\n    """{tool.description}"""'


def _camel(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))
