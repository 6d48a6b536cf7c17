"""Import a configuration of promptfoo (promptfoo.dev/docs/configuration), `promptfooconfig.yaml`.

Each prompt with each test becomes a case. Supported are prompts written in the file, as text or as a JSON array of
messages, with `{{variables}}`; `tests` with `vars`, `assert`, `threshold`, `description` and `metadata`; `defaultTest`
with `vars` and `assert`; and of the assertions those that need neither code nor another model, each also as `not-...`:

    equals  contains  icontains  contains-any  contains-all  icontains-any  icontains-all  starts-with  regex  is-json

Everything else is refused by name with its line: files, several values of a variable, Nunjucks' filters and blocks,
`javascript`, `python`, `llm-rubric`, `similar`, `cost`, `latency`. The providers are left out: a Deployment answers.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml

from canary.grading.catalogue import Expectation
from canary.grading.composite import Composite
from canary.grading.exact import Exact
from canary.grading.json_equal import JsonEqual
from canary.grading.json_schema import JsonSchema
from canary.grading.json_text import as_array, as_object
from canary.grading.regex import Regex, quote
from canary.importing.imported import Imported, ImportOptions, imported_case, refusal
from canary.importing.yaml_nodes import YamlFile
from canary.suite.case import CaseLine
from gateway.contracts.chat import ChatMessage

_LEFT_OUT = frozenset({"$schema", "description", "providers", "targets", "metadata"})
_VARIABLE = re.compile(r"\{\{\s*([A-Za-z_]\w*)\s*\}\}")
_NUNJUCKS = re.compile(r"\{[{%#]")

Variables = Mapping[str, str]


class _Assertion(msgspec.Struct, frozen=True, kw_only=True):
    grader: Expectation
    weight: float


def import_promptfoo(path: Path, options: ImportOptions) -> Imported:
    """Raises SuiteError with the line."""
    return _Importer(YamlFile(path), options).run()


class _Importer:
    def __init__(self, file: YamlFile, options: ImportOptions) -> None:
        self._file = file
        self._options = options

    def run(self) -> Imported:
        top = self._keys(self._file.root, "the file", {"prompts", "tests", "defaultTest"})
        for needed in ("prompts", "tests"):
            if needed not in top:
                raise refusal(self._file.path, None, f"has no `{needed}`")
        prompts = [self._prompt(node) for node in self._file.sequence(top["prompts"], "`prompts`")]
        default = top.get("defaultTest")
        shared = self._keys(default, "`defaultTest`", {"vars", "assert"}) if default is not None else {}
        cases: list[CaseLine] = []
        for number, test in enumerate(self._file.sequence(top["tests"], "`tests`"), start=1):
            for position, prompt in enumerate(prompts, start=1):
                name = f"test-{number:04}" + (f"-prompt-{position}" if len(prompts) > 1 else "")
                cases.append(self._case(name, f"test-{number:04}", test, shared, prompt))
        return Imported(cases=cases, notes=("The providers of the configuration were left out.",))

    def _keys(self, node: yaml.Node, what: str, known: set[str]) -> dict[str, yaml.Node]:
        found = self._file.mapping(node, what)
        for name in list(found):
            if name in self._options.ignore or name in _LEFT_OUT:
                del found[name]
            elif name not in known:
                hint = "--ignore NAME leaves it out"
                raise refusal(
                    self._file.path, self._file.line(found[name]), f"not supported: {name!r} of {what}; {hint}"
                )
        return found

    def _prompt(self, node: yaml.Node) -> str:
        value = self._file.value(node)
        if not isinstance(value, str) or value.startswith(("file://", "exec:")):
            raise refusal(
                self._file.path, self._file.line(node), "not supported: a prompt that is not written here as text"
            )
        return value

    def _case(self, name: str, family: str, test: yaml.Node, shared: Mapping[str, yaml.Node], prompt: str) -> CaseLine:
        own = self._keys(test, "a test", {"vars", "assert", "threshold"})
        line = self._file.line(test)
        variables = {**self._variables(shared.get("vars")), **self._variables(own.get("vars"))}
        assertions = [each for keys in (shared, own) for each in self._assertions(keys.get("assert"), variables)]
        threshold = self._file.value(own["threshold"]) if "threshold" in own else None
        try:
            grader = _combined(assertions, threshold)
            messages = _messages(prompt, variables)
        except ValueError as error:
            raise refusal(self._file.path, line, error) from error
        return imported_case(name, messages, grader, family=family)

    def _variables(self, node: yaml.Node | None) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, each in (self._file.mapping(node, "`vars`") if node is not None else {}).items():
            value = self._file.value(each)
            if isinstance(value, dict | list) or value is None or str(value).startswith("file://"):
                complaint = f"not supported: the variable {name!r} is a list, an object or a file"
                raise refusal(self._file.path, self._file.line(each), complaint)
            found[name] = _as_text(value)
        return found

    def _assertions(self, node: yaml.Node | None, variables: Variables) -> Iterator[_Assertion]:
        for each in self._file.sequence(node, "`assert`") if node is not None else []:
            line = self._file.line(each)
            keys = self._keys(each, "an assertion", {"type", "value", "weight"})
            values = {name: self._file.value(value) for name, value in keys.items()}
            try:
                grader = _grader(str(values.get("type")), _rendered(values.get("value"), variables))
                yield _Assertion(grader=grader, weight=_number(values.get("weight", 1), "weight"))
            except ValueError as error:
                raise refusal(self._file.path, line, error) from error


def _combined(assertions: Sequence[_Assertion], threshold: object) -> Expectation:
    """All must pass; with a threshold, the weighted share must reach it."""
    if not assertions:
        raise ValueError("the test asserts nothing")
    graders = tuple(assertion.grader for assertion in assertions)
    if threshold is None:
        return graders[0] if len(graders) == 1 else Composite(rule="all", of=graders)
    weights = tuple(assertion.weight for assertion in assertions)
    return Composite(rule="weighted", of=graders, weights=weights, threshold=_number(threshold, "threshold"))


def _number(value: object, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"the {what} {value!r} is no number")  # noqa: TRY004 - of the file's data, as all complaints
    return float(value)


def _grader(kind: str, value: object) -> Expectation:
    positive = kind.removeprefix("not-")
    if positive not in _GRADERS:
        raise ValueError(f"not supported: the assertion {kind!r}; supported are {', '.join(_GRADERS)}")
    grader = _GRADERS[positive](value)
    return Composite(rule="none", of=(grader,)) if kind != positive else grader


def _equals(value: object) -> Expectation:
    return JsonEqual(value=value) if isinstance(value, dict | list) else Exact(answers=(_as_text(value),))


def _contains(value: object, *, flags: str = "") -> Expectation:
    return Regex(pattern=flags + quote(_as_text(value)))


def _contains_any(value: object, *, flags: str = "") -> Expectation:
    return Regex(pattern=f"{flags}(?:{'|'.join(quote(each) for each in _texts(value))})")


def _contains_all(value: object, *, flags: str = "") -> Expectation:
    return Composite(rule="all", of=tuple(Regex(pattern=flags + quote(each)) for each in _texts(value)))


def _is_json(value: object) -> Expectation:
    schema = {} if value is None else as_object(value)
    if schema is None:
        raise ValueError("not supported: a schema that is not written here as an object")
    return JsonSchema(schema=schema)


_GRADERS: dict[str, Callable[[Any], Expectation]] = {
    "equals": _equals,
    "contains": _contains,
    "icontains": lambda value: _contains(value, flags="(?i)"),
    "contains-any": _contains_any,
    "icontains-any": lambda value: _contains_any(value, flags="(?i)"),
    "contains-all": _contains_all,
    "icontains-all": lambda value: _contains_all(value, flags="(?i)"),
    "starts-with": lambda value: Regex(pattern=f"^{quote(_as_text(value))}"),
    "regex": lambda value: Regex(pattern=_as_text(value)),
    "is-json": _is_json,
}


def _texts(value: object) -> list[str]:
    texts = [_as_text(each) for each in as_array(value) or []]
    if not texts:
        raise ValueError("its value must be a list")
    return texts


def _as_text(value: object) -> str:
    """Return the value as promptfoo puts it into text: as JavaScript writes it."""
    match value:
        case bool():
            return str(value).lower()
        case float() if value.is_integer():
            return str(int(value))
        case str() | int() | float():
            return str(value)
        case _:
            raise ValueError("its value must be text or a number")


def _rendered(value: object, variables: Variables) -> object:
    if isinstance(value, str):
        return _render(value, variables)
    array = as_array(value)
    return value if array is None else [_rendered(each, variables) for each in array]


def _render(template: str, variables: Variables) -> str:
    """Put the variables in. Raises ValueError for one that is not given, and for anything else of Nunjucks."""
    if _NUNJUCKS.search(_VARIABLE.sub("", template)):
        raise ValueError("not supported: a template with more than {{variables}}")
    if template.startswith("file://"):
        raise ValueError("not supported: a value from a file")
    for name in _VARIABLE.findall(template):
        if name not in variables:
            raise ValueError(f"the variable {name!r} has no value")
    return _VARIABLE.sub(lambda match: variables[match[1]], template)


def _messages(prompt: str, variables: Variables) -> tuple[ChatMessage, ...]:
    """Return the prompt as messages; a chat is rendered message by message, so that a variable may hold quotes."""
    try:
        chat = msgspec.json.decode(prompt, type=tuple[ChatMessage, ...])
    except msgspec.DecodeError:
        if prompt.lstrip().startswith("[") and _is_json_text(prompt):
            raise
        return (ChatMessage(role="user", content=_render(prompt, variables)),)
    if not chat or chat[-1].role != "user":
        raise ValueError("not supported: a chat whose last message is not the user's")
    return tuple(ChatMessage(role=each.role, content=_render(each.text, variables), name=each.name) for each in chat)


def _is_json_text(text: str) -> bool:
    try:
        json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return False
    return True
