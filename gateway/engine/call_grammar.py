"""The grammars of calls: of one that is demanded, and of those that a model may make between text or for a document.

A call that a grammar holds is `{"name": ..., "arguments": {...}}` for every model, whatever syntax it was trained on:
JSON is what can be held to a schema.
"""

import itertools
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from gateway.contracts.tools import FunctionTool
from gateway.engine.grammar import GrammarError, json_rule
from gateway.engine.tool_syntax import ToolSyntax
from gateway.wire import GrammarKind, GrammarSpec, ToolUse

_ANY_OBJECT = {"type": "object"}
_OPENING_KEYWORDS = frozenset(
    {"$ref", "additionalProperties", "allOf", "anyOf", "oneOf", "patternProperties", "unevaluatedProperties"}
)
"""Where one of these stands, `properties` alone does not say what an object may hold."""
_BLANK = r"BLANK: /[ \n]{0,4}/"


def demanded_call(tools: Sequence[FunctionTool]) -> GrammarSpec:
    """Return the grammar of exactly one call of one of the tools, and nothing else.

    Arguments are held to their schemas, strict or not. Raises GrammarError where a schema is over the limits.
    """
    return _spec(["start: call", *_call_rules(tools, held=range(len(tools)))])


def calls_in_text(tools: Sequence[FunctionTool], syntax: ToolSyntax, special: Mapping[str, int]) -> GrammarSpec:
    """Return the grammar of any text with calls in it: what follows the mark of a call is one.

    Arguments of strict functions are held to their schemas, others to be objects. `special` has the ids of the tokens
    that no text spells, without those that end an answer. Raises GrammarError, also where a mark cannot be told from
    text.
    """
    parts = _parts(syntax.start, special)
    if len(parts) > 1:
        raise GrammarError(
            "this model begins a call with several tokens of structure, and only a demanded call can be held to a "
            "schema then: set `tool_choice`, or leave `strict` out"
        )
    (start,) = parts
    others = _ranges(set(special.values()) - {special.get(syntax.start), special.get(syntax.end)})
    lines = [
        "text: " + (f"(TEXT | <[{others}]>)*" if others else "TEXT?"),
        r"TEXT: /(.|\n)+/",
        # Lazy: where the mark is complete, it is no text any more.
        rf"spelled[lazy]: /(.|\n)*/ {json.dumps(syntax.start)}",
        "begun: text spelled" + ("" if start == json.dumps(syntax.start) else f" | text {start}"),
        f"marked: begun BLANK call BLANK {_mark(syntax.end, special)}",
        # Without a mark of its end, a call ends the answer.
        "start: marked* text" if syntax.end else "start: text | marked",
        _BLANK,
    ]
    return _spec([*lines, *_call_rules(tools, held=_strict(tools))])


def calls_or_document(
    use: ToolUse, syntax: ToolSyntax, special: Mapping[str, int], document: GrammarSpec
) -> GrammarSpec:
    """Return the grammar of calls and nothing else, or of a document under its schema and nothing else.

    Arguments are held as in `calls_in_text`. Raises GrammarError.
    """
    several = bool(syntax.end) and use.parallel
    lines = [
        "start: document | marked" + (" (BLANK marked)*" if several else ""),
        f"document: {json_rule(json.loads(document.source))}",
        f"marked: {_mark(syntax.start, special)} BLANK call BLANK {_mark(syntax.end, special)}",
        _BLANK,
    ]
    return _spec([*lines, *_call_rules(use.tools, held=_strict(use.tools))])


def _spec(lines: Iterable[str]) -> GrammarSpec:
    return GrammarSpec(kind=GrammarKind.LARK, source="\n".join(lines), param="tools")


def _strict(tools: Sequence[FunctionTool]) -> list[int]:
    return [index for index, tool in enumerate(tools) if tool.function.strict]


def _call_rules(tools: Sequence[FunctionTool], *, held: Collection[int]) -> list[str]:
    """Return the rules of `call`. The arguments of the tools at the indexes in `held` match their schemas."""
    lines = ["call: " + " | ".join(f"call_{index}" for index in range(len(tools)))]
    for index, tool in enumerate(tools):
        opening = json.dumps(f'{{"name": "{tool.function.name}", "arguments": ')
        schema = _arguments_schema(tool.function.parameters) if index in held else _ANY_OBJECT
        lines.append(f'call_{index}: {opening} arguments_{index} "}}"')
        lines.append(f"arguments_{index}: {json_rule(schema)}")
    return lines


def _arguments_schema(parameters: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the schema that arguments are held to: an object, of the properties that it names and no others.

    A schema that leaves open what else there may be invites a small model to go on inventing names.
    """
    schema: dict[str, Any] = {**(parameters or {}), "type": "object"}
    if not _OPENING_KEYWORDS.intersection(schema):
        schema |= {"properties": schema.get("properties", {}), "additionalProperties": False}
    return schema


def _mark(text: str, special: Mapping[str, int]) -> str:
    """Return the terms that match a mark, none for an empty one."""
    return " ".join(_parts(text, special))


def _parts(text: str, special: Mapping[str, int]) -> list[str]:
    """Return a term for each special token in the text, and for each text between them."""
    longest_first = sorted((name for name in special if name in text), key=len, reverse=True)
    pieces = re.split(f"({'|'.join(map(re.escape, longest_first))})", text) if longest_first else [text]
    return [f"<[{special[piece]}]>" if piece in special else json.dumps(piece) for piece in pieces if piece]


def _ranges(ids: Iterable[int]) -> str:
    """Return ids as llguidance reads sets of tokens: `1-3,7`. Vocabularies may reserve thousands in a row."""
    runs = itertools.groupby(enumerate(sorted(ids)), key=lambda pair: pair[1] - pair[0])
    bounds = [[token for _, token in run] for _, run in runs]
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in bounds)
