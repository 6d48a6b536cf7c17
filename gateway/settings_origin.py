"""Layers of settings: values that remember who set them, merged lowest first and checked one by one.

Knows nothing of the settings themselves: a msgspec Struct says which there are.
"""

import math
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import GenericAlias
from typing import TypeVar, cast, get_args, get_origin

import msgspec

from gateway.errors import StartError

DEFAULT = "default"
_ENVIRONMENT = "environment "
_PREFIX = "GATEWAY__"

Tree = dict[str, object]
S = TypeVar("S", bound=msgspec.Struct)


class Layer(msgspec.Struct, frozen=True):
    values: Tree
    origins: dict[str, str]
    """By path: `server.port`, `deployments[0].source`."""

    def origin(self, path: str) -> str:
        """Return who set the value at this path, or a part of it, or what it is a part of."""
        for setter, origin in self.origins.items():
            if _is_part(setter, of=path) or _is_part(path, of=setter):
                return origin
        return DEFAULT


def toml_layer(file: Path) -> Layer:
    """Read a configuration file. Raises StartError where it is missing or no TOML."""
    try:
        values: Tree = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StartError(f"configuration file {file} does not exist: name another with --config") from error
    except OSError as error:
        raise StartError(
            f"configuration file {file} cannot be read ({error.strerror}): give this user the right, or name another"
            " with --config"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StartError(f"configuration file {file} is not valid TOML ({error}): correct it there") from error
    return Layer(values, {path: str(file) for path, _ in leaves(values)})


def environment_layer(environ: Mapping[str, str]) -> Layer:
    """Take every variable `GATEWAY__SECTION__KEY`; its value is read as the setting's type demands."""
    layer = Layer({}, {})
    for name in sorted(environ):
        if name.startswith(_PREFIX):
            path = name.removeprefix(_PREFIX).lower().replace("__", ".")
            layer = merge(layer, single(path, environ[name], _ENVIRONMENT + name))
    return layer


def single(path: str, value: object, origin: str) -> Layer:
    """Return a layer of one value."""
    values: object = value
    for key in reversed(path.split(".")):
        values = {key: values}
    return Layer(cast("Tree", values), {leaf: origin for leaf, _ in leaves(value, path)})


def merge(*layers: Layer) -> Layer:
    """Lay each over the one before it: tables key by key, everything else as a whole."""
    values: Tree = {}
    origins: dict[str, str] = {}
    for layer in layers:
        values = _overlay(values, layer.values)
        for path in layer.origins:
            replaced, _, _ = path.partition("[")
            origins = {old: origin for old, origin in origins.items() if not _is_part(old, of=replaced)}
        origins |= layer.origins
    return Layer(values, origins)


def build(schema: type[S], layer: Layer) -> S:
    """Check every value and return the Struct that they make.

    Raises StartError that names the setting, its origin, and what would be right.
    """
    return cast("S", _convert(layer.values, schema, "", layer))


def leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Yield path and value of everything that is neither a table nor a list with something in it."""
    if isinstance(value, dict) and value:
        for key, part in cast("Tree", value).items():
            yield from leaves(part, f"{path}.{key}" if path else key)
    elif isinstance(value, (list, tuple)) and value:
        for index, part in enumerate(cast("list[object]", value)):
            yield from leaves(part, f"{path}[{index}]")
    else:
        yield path, value


def refuse(path: str, layer: Layer, problem: str) -> StartError:
    """Return the one sentence that a wrong setting gets."""
    return StartError(f"setting {path or '(no name)'} ({layer.origin(path)}) {problem}")


def _convert(value: object, annotation: object, path: str, layer: Layer) -> object:
    if isinstance(annotation, type) and not isinstance(annotation, GenericAlias):
        if issubclass(annotation, msgspec.Struct):
            return _convert_table(value, annotation, path, layer)
    elif get_origin(annotation) is tuple and isinstance(value, list):
        part = get_args(annotation)[0]
        items = enumerate(cast("list[object]", value))
        return tuple(_convert(item, part, f"{path}[{index}]", layer) for index, item in items)
    try:
        # The environment knows text only; a file that writes "8080" where a number belongs is corrected by its owner.
        converted = msgspec.convert(value, annotation, strict=not layer.origin(path).startswith(_ENVIRONMENT))
    except msgspec.ValidationError as error:
        raise refuse(path, layer, f"is not valid: {_lower_first(str(error))}") from error
    if any(isinstance(leaf, float) and not math.isfinite(leaf) for _, leaf in leaves(msgspec.to_builtins(converted))):
        raise refuse(path, layer, "is not valid: expected a finite number")
    return converted


def _convert_table(value: object, schema: type[msgspec.Struct], path: str, layer: Layer) -> msgspec.Struct:
    if not isinstance(value, dict):
        raise refuse(path, layer, f"is a table: set one of {_names(schema)} in it")
    table = cast("Tree", value)
    fields = {field.encode_name: field for field in msgspec.structs.fields(schema)}
    prefix = f"{path}." if path else ""
    for key in table:
        if key not in fields:
            raise refuse(prefix + key, layer, f"does not exist: {path or 'the top level'} has {_names(schema)}")
    for name, field in fields.items():
        if field.required and name not in table:
            raise refuse(path, layer, f"needs `{name}`: give it a value")
    return schema(
        **{fields[key].name: _convert(part, fields[key].type, prefix + key, layer) for key, part in table.items()},
    )


def _overlay(below: Tree, above: Tree) -> Tree:
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        if isinstance(value, dict) and isinstance(under, dict):
            merged[key] = _overlay(cast("Tree", under), cast("Tree", value))
        else:
            merged[key] = value
    return merged


def _is_part(path: str, *, of: str) -> bool:
    return path == of or path.startswith((f"{of}.", f"{of}["))


def _names(schema: type[msgspec.Struct]) -> str:
    return ", ".join(field.encode_name for field in msgspec.structs.fields(schema))


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
