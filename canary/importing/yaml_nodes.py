"""YAML as nodes that know their line, and stay finite whatever the anchors do."""

from pathlib import Path
from typing import Any

import yaml

# The stubs leave `compose` and `serialize` untyped; this file is the only one that calls them.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
from canary.importing.imported import refusal
from canary.suite.text_files import read_text

MAX_NODES = 200_000
"""After aliases are followed: a file of a few lines can stand for billions."""
_TAGS = frozenset(
    f"tag:yaml.org,2002:{kind}" for kind in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp")
)
"""Of plain data. Merge keys (`<<`) are among those that are not."""
MAX_YAML_BYTES = 8 * 1024 * 1024


class YamlFile:
    """One document, and how its mistakes are reported."""

    def __init__(self, path: Path) -> None:
        """Raises SuiteError where the file is no YAML, holds several documents, or an alias that contains itself."""
        self.path = path
        text = read_text(path, max_bytes=MAX_YAML_BYTES)
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else None
            raise refusal(path, line, f"is no YAML: {error.problem}") from error
        except yaml.YAMLError as error:
            raise refusal(path, None, f"is no YAML: {error}") from error
        except RecursionError as error:
            raise refusal(path, None, "nested too deeply") from error
        if root is None:
            raise refusal(path, None, "is empty")
        self.root: yaml.Node = root
        self._check_nodes()

    def line(self, node: yaml.Node) -> int:
        return node.start_mark.line + 1

    def mapping(self, node: yaml.Node, what: str) -> dict[str, yaml.Node]:
        if not isinstance(node, yaml.MappingNode):
            raise refusal(self.path, self.line(node), f"{what} must be a mapping")
        found: dict[str, yaml.Node] = {}
        for key, value in node.value:
            name = str(self.value(key))
            if name in found:
                raise refusal(self.path, self.line(key), f"the key {name!r} is given twice")
            found[name] = value
        return found

    def sequence(self, node: yaml.Node, what: str) -> list[yaml.Node]:
        if not isinstance(node, yaml.SequenceNode):
            raise refusal(self.path, self.line(node), f"not supported: {what} that is no list in this file")
        return list(node.value)

    def value(self, node: yaml.Node) -> Any:
        """Return the node as plain data. Raises SuiteError where its text is none of its tag (`!!int x`)."""
        try:
            return yaml.safe_load(yaml.serialize(node))
        except (yaml.YAMLError, ValueError) as error:
            raise refusal(self.path, self.line(node), f"is no YAML: {error}") from error

    def _check_nodes(self) -> None:
        count = 0
        pending: list[tuple[yaml.Node, frozenset[int]]] = [(self.root, frozenset())]
        while pending:
            node, above = pending.pop()
            count += 1
            if id(node) in above or count > MAX_NODES:
                raise refusal(self.path, self.line(node), "an alias contains itself, or stands for too much")
            if node.tag not in _TAGS:
                raise refusal(self.path, self.line(node), f"not supported: the YAML tag {node.tag}")
            if isinstance(node, yaml.CollectionNode):
                children = (
                    node.value if isinstance(node, yaml.SequenceNode) else [e for pair in node.value for e in pair]
                )
                pending += [(child, above | {id(node)}) for child in children]
