"""mlx-lm's tokenizer behind our seam, with the embedded model's vocabulary."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
import pytest
import tokenizers as untyped_tokenizers
import transformers
from hypothesis import given
from hypothesis import strategies as st
from mlx_lm import tokenizer_utils

from gateway.engine.gguf_metadata import GgufMetadata
from gateway.engine.gguf_tokenizer import write_tokenizer
from gateway.engine.mlx_tokenizer import WrappedTokenizer
from gateway.engine.tokenizer import TemplateError
from gateway.wire import WireMessage
from tests.support.models import gguf

VOCABULARY = 49152
SPECIAL = range(17)
HELLO = [WireMessage("user", "Hello")]

_tokenizer_utils = cast("Any", tokenizer_utils)  # Typed in part only.
tokenizers = cast("Any", untyped_tokenizers)

# Half characters, whole ones, special tokens and ids that pad the output beyond the vocabulary.
_tokens = st.lists(st.integers(0, VOCABULARY + 100), max_size=40)


@pytest.fixture(scope="module")
def wrapper(tmp_path_factory: pytest.TempPathFactory) -> Any:
    out: Path = tmp_path_factory.mktemp("tokenizer")
    loaded: Any = mx.load(str(gguf()), format="gguf", return_metadata=True)
    write_tokenizer(GgufMetadata(loaded[1]), out)
    return _tokenizer_utils.load(out)


def _with_template(wrapper: Any, template: str | None) -> WrappedTokenizer:
    changed = transformers.PreTrainedTokenizerFast(tokenizer_object=wrapper.backend_tokenizer)
    changed.chat_template = template
    return WrappedTokenizer(_tokenizer_utils.TokenizerWrapper(changed))


def _stream(tokenizer: WrappedTokenizer, tokens: list[int]) -> list[str]:
    detokenizer = tokenizer.detokenizer()
    return [*(detokenizer.add(token) for token in tokens), detokenizer.finish()]


@given(tokens=_tokens)
def test_deltas_put_together_are_the_decoded_text_without_what_is_no_text(wrapper: Any, tokens: list[int]) -> None:
    text = [token for token in tokens if token not in SPECIAL and token < VOCABULARY]
    streamed = "".join(_stream(WrappedTokenizer(wrapper), tokens))
    # mlx-lm leaves out a space in front of the whole text, and shows byte 0 as the letter that stands for it.
    assert streamed == wrapper.decode(text).removeprefix(" ").replace("\0", "Ā")


@pytest.mark.parametrize("text", [" Paris", " a b", "  deep", "x", " ", "é"])
def test_a_text_that_continues_another_keeps_the_space_in_front_of_it(wrapper: Any, text: str) -> None:
    detokenizer = WrappedTokenizer(wrapper).detokenizer(continues=True)
    tokens = wrapper.encode(text, add_special_tokens=False)
    assert "".join(map(detokenizer.add, tokens)) + detokenizer.finish() == text


def test_a_tokenizers_own_beginning_is_put_there_where_it_is_asked_for() -> None:
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel({"<s>": 0, "hello": 1}, "<s>"))
    backend.post_processor = tokenizers.processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made = transformers.PreTrainedTokenizerFast(tokenizer_object=backend)
    made.chat_template = "{{ messages[0].content }}{% if add_generation_prompt %} hello{% endif %}"
    tokenizer = WrappedTokenizer(_tokenizer_utils.TokenizerWrapper(made))
    assert tokenizer.encode_text("hello") == [1]
    assert tokenizer.encode_text("hello", special_tokens=True) == [0, 1]
    messages = [WireMessage("user", "hello")]
    assert tokenizer.encode_chat(messages, {}) == [1, 1]
    assert tokenizer.encode_chat(messages, {}, special_tokens=True) == [0, 1, 1]
    assert tokenizer.encode_chat(messages, {}, opens_answer=False) == [1]


def test_ids_beyond_the_vocabulary_have_no_text(wrapper: Any) -> None:
    with pytest.raises(IndexError):
        WrappedTokenizer(wrapper).decode([1, VOCABULARY])


@given(text=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x3FFFF, codec="utf-8", exclude_characters="<|>")))
def test_each_delta_of_a_valid_text_is_whole_characters(wrapper: Any, text: str) -> None:
    deltas = _stream(WrappedTokenizer(wrapper), wrapper.encode(text, add_special_tokens=False))
    assert "".join(deltas) == text
    assert not any("\N{REPLACEMENT CHARACTER}" in delta for delta in deltas) or "\N{REPLACEMENT CHARACTER}" in text


def test_the_models_own_template_frames_the_messages(wrapper: Any) -> None:
    prompt = WrappedTokenizer(wrapper).encode_chat([WireMessage("system", "Be brief."), *HELLO], {})
    assert wrapper.decode(prompt) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
    )


def test_template_arguments_reach_the_template(wrapper: Any) -> None:
    tokenizer = _with_template(wrapper, "{{ 'loud' if shout else 'soft' }}")
    prompts = [tokenizer.encode_chat(HELLO, {"shout": shout}) for shout in (True, False)]
    assert [wrapper.decode(prompt) for prompt in prompts] == ["loud", "soft"]


def test_a_model_without_a_template_gets_the_plain_format(wrapper: Any) -> None:
    assert wrapper.decode(_with_template(wrapper, None).encode_chat(HELLO, {})) == "user: Hello\n\nassistant:"


def test_what_a_template_refuses_on_purpose_is_repeated(wrapper: Any) -> None:
    tokenizer = _with_template(wrapper, "{{ raise_exception('roles must alternate') }}")
    with pytest.raises(TemplateError, match="refuses these messages: roles must alternate"):
        tokenizer.encode_chat(HELLO, {})


def test_an_error_inside_a_template_is_the_requests_alone(wrapper: Any) -> None:
    tokenizer = _with_template(wrapper, "{{ messages[0]['content'] + 1 }}")
    with pytest.raises(TemplateError, match=r"fails on these messages \(TypeError\)"):
        tokenizer.encode_chat(HELLO, {})


def test_tokens_are_read_on_one_thread_while_prompts_are_made_on_another(wrapper: Any) -> None:
    tokenizer = WrappedTokenizer(wrapper)
    prompt = [WireMessage("user", "river stone " * 2000)]
    encoded = tokenizer.encode_chat(prompt, {})
    text = tokenizer.decode(encoded)
    with ThreadPoolExecutor(1) as other:
        encoding = other.submit(lambda: [tokenizer.encode_chat(prompt, {}) == encoded for _ in range(20)])
        decoded = [tokenizer.decode(encoded) == text]
        while not encoding.done():
            decoded.append(tokenizer.decode(encoded) == text)
    assert all(encoding.result())
    assert all(decoded)
