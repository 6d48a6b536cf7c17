"""Entries are sent with their text and never before it."""

import math

from gateway.contracts.chat import FinishReason
from gateway.contracts.logprobs import LEAST_LOGPROB, TokenLogprob
from gateway.contracts.scoring import TopToken
from gateway.engine.logprobs import describe
from gateway.engine.reply import LogprobLedger, Reply
from gateway.engine.runner import DrawnLogprob, RowToken
from gateway.engine.scripted_tokenizer import END, ScriptedTokenizer

TOKENIZER = ScriptedTokenizer()


def _token(token: int, finish_reason: FinishReason | None = None) -> RowToken:
    return RowToken(1, token, finish_reason, DrawnLogprob(-float(token), (TopToken(token, -0.5),)))


def _reply(*stops: str) -> Reply:
    return Reply("a", TOKENIZER.detokenizer(), stops, ledger=LogprobLedger(TOKENIZER))


def _entries(reply: Reply, text: bytes, last: RowToken | None = None) -> list[list[str]]:
    """Return what comes with each token of the text."""
    tokens = [_token(byte) for byte in text] + ([last] if last else [])
    return [[entry.token for entry in reply.add(token).logprobs] for token in tokens]


def test_each_token_brings_its_entry() -> None:
    assert _entries(_reply(), b"ab", _token(END, FinishReason.STOP)) == [["a"], ["b"], []]


def test_the_parts_of_a_character_come_with_the_character() -> None:
    entries = _entries(_reply(), "é!".encode())
    assert [len(step) for step in entries] == [0, 2, 1]


def test_an_entry_has_the_bytes_of_its_token_also_where_they_are_no_character() -> None:
    reply = _reply()
    entries = [entry for byte in "é".encode() for entry in reply.add(_token(byte)).logprobs]
    assert bytes(byte for entry in entries for byte in entry.bytes or ()).decode() == "é"
    assert [entry.token for entry in entries] == ["\N{REPLACEMENT CHARACTER}"] * 2


def test_text_that_may_become_a_stop_string_holds_its_entries_back() -> None:
    assert _entries(_reply("bcd"), b"abca") == [["a"], [], [], ["b", "c", "a"]]


def test_the_entries_of_a_stop_string_never_come() -> None:
    reply = _reply("bcd")
    assert _entries(reply, b"abcd") == [["a"], [], [], []]
    assert reply.finish_reason is FinishReason.STOP


def test_what_is_held_back_at_the_end_comes_with_the_end() -> None:
    assert _entries(_reply("bcd"), b"ab", _token(END, FinishReason.STOP)) == [["a"], [], ["b"]]


def test_a_character_that_is_cut_at_the_limit_still_has_its_entry() -> None:
    last = _token("é".encode()[0], FinishReason.LENGTH)
    assert _entries(_reply(), b"a", last) == [["a"], ["\N{REPLACEMENT CHARACTER}"]]


def test_every_token_may_have_an_entry_also_the_one_that_ends_the_answer() -> None:
    reply = Reply("a", TOKENIZER.detokenizer(), ("bcd",), ledger=LogprobLedger(TOKENIZER, every_token=True))
    assert _entries(reply, b"ab", _token(END, FinishReason.STOP)) == [["a"], [], ["b", "<end>"]]


def test_also_then_those_of_a_stop_string_have_none() -> None:
    reply = Reply("a", TOKENIZER.detokenizer(), ("bcd",), ledger=LogprobLedger(TOKENIZER, every_token=True))
    assert _entries(reply, b"abcd") == [["a"], [], [], []]


def test_without_a_ledger_there_are_no_entries() -> None:
    assert Reply("a", TOKENIZER.detokenizer(), ()).add(_token(ord("a"))).logprobs == ()


def test_an_end_token_has_no_bytes_and_an_impossible_one_a_number() -> None:
    entry = describe(ord("a"), DrawnLogprob(-math.inf, (TopToken(END, -0.25), TopToken(999, -9.0))), TOKENIZER)
    assert isinstance(entry, TokenLogprob)
    assert entry.logprob == LEAST_LOGPROB
    assert [(top.token, top.bytes) for top in entry.top_logprobs] == [("<end>", None), ("", None)]
