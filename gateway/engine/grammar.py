"""What an answer must match, compiled by llguidance: in the prompt thread, so that no running row waits for it.

Every document that a grammar lets through is valid under its schema, as `jsonschema` reads it, whatever the model
does. What llguidance cannot promise that for is refused by name before any token: by itself, or by `schema_limits`.
"""

import json
from collections.abc import Iterable
from copy import copy
from typing import Any

import llguidance
import numpy as np
from numpy.typing import NDArray

from gateway.engine.schema_dates import with_dates
from gateway.engine.schema_limits import SchemaError, check_schema
from gateway.wire import GrammarKind, GrammarSpec

_JSON_OPTIONS: dict[str, Any] = {
    "lenient": False,
    # Bounded, because a model that may write blanks without end does.
    "whitespace_pattern": r"[\x20\x0A\x0D\x09]{1,20}",
    # One way to write each character: a key that is spelt with escapes would escape its own schema.
    "json_allowed_escapes": '"\\bfnrt',
    "coerce_one_of": False,
}
_LIMITS = llguidance.LLParserLimits(
    # A schema is a stranger's program: what it may take of time and memory (1 to 2 kB a state) has an end.
    initial_lexer_fuel=500_000,
    max_grammar_size=100_000,
    max_lexer_states=20_000,
    max_items_in_row=5_000,
    verbose_errors=False,
)
_MESSAGE_LENGTH = 300


class GrammarError(Exception):
    """This grammar cannot be used; the text says why, and what of it is at fault. For whoever sent it."""


class Constraint:
    """The grammar of one row, and where in it the row is.

    Made on the prompt thread and advanced on the loop's, which hands it back with the row's last token.
    """

    def __init__(self, matcher: llguidance.LLMatcher, vocabulary_size: int) -> None:
        self.matcher = matcher
        self.bits: NDArray[np.int32] = np.zeros((1, (vocabulary_size + 31) // 32), dtype=np.int32)
        """Which tokens may come next: bit i of word j is token 32 j + i."""
        self.ended = False
        """Nothing more is to be matched: the row has met its end token, or `fault` is set."""
        self.fault = ""
        """Why the grammar could not be followed, which is the engine's failure; empty where it could."""

    def fail(self, reason: str) -> None:
        self.ended = True
        self.fault = f"The engine could not follow the answer's grammar to its end: {_readable(reason)}"


class Grammars:
    """Compiles grammars for one vocabulary. Safe for two threads: it calls no Python tokenizer after it is made."""

    def __init__(self, tokenizer: llguidance.LLTokenizer, end_tokens: Iterable[int]) -> None:
        self.tokenizer = tokenizer
        self.end_tokens = frozenset(end_tokens)
        self.size: int = tokenizer.vocab_size

    def compile(self, spec: GrammarSpec) -> Constraint:
        """Return the grammar at its start. Raises GrammarError."""
        match spec.kind:
            case GrammarKind.JSON_SCHEMA:
                grammar = llguidance.LLMatcher.grammar_from_json_schema(
                    json.dumps(_prepared(spec.source)),
                    overrides=_JSON_OPTIONS,  # pyright: ignore[reportArgumentType] - a TypedDict
                )
            case GrammarKind.LARK:
                grammar = llguidance.LLMatcher.grammar_from_lark(spec.source)
        matcher = llguidance.LLMatcher(self.tokenizer, grammar, log_level=0, limits=_LIMITS)
        constraint = Constraint(matcher, self.tokenizer.vocab_size)
        if not matcher.is_error():
            # The first mask is the dearest: it builds the lexer's first states.
            matcher.unsafe_compute_mask_ptr(constraint.bits.ctypes.data, constraint.bits.nbytes)
        if matcher.is_error():
            raise GrammarError(_readable(matcher.get_error()))
        if not constraint.bits.any():
            raise GrammarError("nothing matches it")
        return constraint

    def bytes_of(self, token: int) -> bytes | None:
        """Return the token's part of the text's UTF-8; None where it is none, as an end of sequence is not."""
        if self.tokenizer.is_special_token(token):
            return None
        return self.tokenizer.decode_bytes([token])


def grammars_of(wrapper: Any) -> Grammars | None:
    """Return what compiles grammars for a `mlx_lm.tokenizer_utils.TokenizerWrapper`; it takes 0.4 s.

    None where llguidance does not know the tokenizer, which must be one of Hugging Face's fast ones, or where the
    model has no end token, by which an answer could end.
    """
    end_tokens = sorted(wrapper.eos_token_ids)
    if not end_tokens:
        return None
    try:
        backend = copy(wrapper.backend_tokenizer)
        backend.no_padding()
        backend.no_truncation()
        tokenizer = llguidance.LLTokenizer(backend.to_str(), eos_token=end_tokens)
    except (AttributeError, ValueError):  # A tokenizer written in Python; a vocabulary that llguidance cannot read.
        return None
    return Grammars(tokenizer, end_tokens)


def json_rule(schema: object) -> str:
    """Return the right side of a lark rule that matches a JSON document under the schema.

    Raises GrammarError where the schema is over the limits. What llguidance does not know in it, `compile` tells.
    """
    return "%json " + json.dumps({**_prepared(json.dumps(schema)), "x-guidance": _JSON_OPTIONS})


def _prepared(source: str) -> dict[str, Any]:
    """Return the schema as it is compiled. Raises GrammarError."""
    schema = json.loads(source)
    try:
        check_schema(source, schema)
    except SchemaError as error:
        raise GrammarError(str(error)) from error
    return with_dates(schema)


def _readable(error: str) -> str:
    """Return llguidance's message as one line."""
    line = " ".join(error.split())
    return line if len(line) <= _MESSAGE_LENGTH else line[: _MESSAGE_LENGTH - 3] + "..."
