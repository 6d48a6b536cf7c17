"""A model of two small random layers over a byte-level vocabulary: what must hold for any weights, quickly."""

from functools import cache
from typing import Any

import llguidance
import mlx.core as mx
from mlx_lm.models import llama
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from gateway.engine.grammar import Grammars

END = 0
"""End of sequence."""
_MERGES = (("t", "r"), ("u", "e"), ("tr", "ue"), ('"', ":"), ('"', ","), ("n", "u"), ("l", "l"), ("nu", "ll"))


@cache
def tokenizer() -> Tokenizer:
    """Return a byte-level BPE vocabulary: an end token, all bytes, and a few longer tokens, as JSON has them."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = ["<end>", *alphabet, *("".join(pair) for pair in _MERGES)]
    made = Tokenizer(models.BPE({word: index for index, word in enumerate(words)}, list(_MERGES)))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken("<end>", special=True)])  # pyright: ignore[reportUnknownMemberType] - untyped
    return made


@cache
def grammars() -> Grammars:
    return Grammars(llguidance.LLTokenizer(tokenizer().to_str(), eos_token=[END]), [END])


VOCABULARY_SIZE = 300
"""Of the model's logits: more than the tokenizer has, as real models are padded."""


def random_model(seed: int = 5) -> Any:
    mx.random.seed(seed)
    arguments = llama.ModelArgs(
        model_type="llama",
        hidden_size=64,
        num_hidden_layers=2,
        intermediate_size=128,
        num_attention_heads=4,
        num_key_value_heads=2,
        rms_norm_eps=1e-5,
        vocab_size=VOCABULARY_SIZE,
    )
    return llama.Model(arguments)


def text_of(tokens: list[int]) -> str:
    """Return what the tokens say, without the end."""
    return bytes(b for token in tokens if token != END for b in grammars().bytes_of(token) or b"").decode()
