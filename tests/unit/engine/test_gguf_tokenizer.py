"""The embedded model's tokenizer, converted: what the model was trained on must come out of it."""

from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from gateway.engine.gguf_metadata import GgufMetadata
from gateway.engine.gguf_tokenizer import write_tokenizer
from gateway.engine.job import JobError
from tests.support.models import gguf


@pytest.fixture(scope="module")
def metadata() -> dict[str, Any]:
    loaded: Any = mx.load(str(gguf()), format="gguf", return_metadata=True)
    return loaded[1]


@pytest.fixture(scope="module")
def tokenizer(metadata: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    out: Path = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(GgufMetadata(metadata), out)
    assert "<|im_start|>" in (out / "chat_template.jinja").read_text()
    return Tokenizer.from_file(str(out / "tokenizer.json"))


# The vocabulary has no tokens for the bytes of some control characters and of the planes 4 to 11, which the original
# drops too; and `<`, `|` and `>` could make a special token.
_characters = st.characters(min_codepoint=0x20, max_codepoint=0x3FFFF, codec="utf-8", exclude_characters="<|>")


@given(text=st.text(_characters))
def test_any_text_comes_back_as_it_was(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


@pytest.mark.parametrize("text", ["  two spaces", "a\n\n\tb", "🙂 日本語", "x = {'a': 1}", " leading", "trailing "])
def test_spaces_newlines_and_characters_of_several_bytes_come_back(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_digits_are_single_tokens(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("1234").tokens == ["1", "2", "3", "4"]


def test_no_space_is_put_before_the_first_word(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("Hello world").tokens == ["Hello", "Ġworld"]


def test_special_tokens_are_single_ids_and_no_text(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("<|im_start|>user\nhi<|im_end|>").ids[0] == 1
    assert tokenizer.encode("<|im_start|>user\nhi<|im_end|>").ids[-1] == 2
    assert tokenizer.encode("<|endoftext|>").ids == [0]
    assert tokenizer.decode([1, 2, 0], skip_special_tokens=True) == ""


def test_a_tokenizer_of_another_kind_is_refused(metadata: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(JobError, match="gpt2/llama-bpe"):
        write_tokenizer(GgufMetadata(metadata | {"tokenizer.ggml.pre": "llama-bpe"}), tmp_path)


def test_metadata_that_is_missing_is_named(metadata: dict[str, Any], tmp_path: Path) -> None:
    short = {key: value for key, value in metadata.items() if key != "tokenizer.ggml.merges"}
    with pytest.raises(JobError, match=r"tokenizer\.ggml\.merges"):
        write_tokenizer(GgufMetadata(short), tmp_path)
