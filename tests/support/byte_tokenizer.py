"""A tokenizer of single bytes with a chat template and special tokens of the test's choice, as mlx-lm loads one."""

from pathlib import Path
from typing import Any, cast

import tokenizers
import transformers
from mlx_lm import tokenizer_utils

# Typed in part only.
_tokenizer_utils = cast("Any", tokenizer_utils)
_tokenizers = cast("Any", tokenizers)
_transformers = cast("Any", transformers)


def byte_tokenizer(directory: Path, template: str | None, *special: str) -> Any:
    """Return a `TokenizerWrapper`; its files are kept under the directory for the next time."""
    saved = directory / str(abs(hash((template, special))))
    if not saved.exists():
        alphabet: list[str] = sorted(_tokenizers.pre_tokenizers.ByteLevel.alphabet())
        vocabulary = {character: number for number, character in enumerate(alphabet)}
        backend = _tokenizers.Tokenizer(_tokenizers.models.BPE(vocab=vocabulary, merges=[]))
        backend.pre_tokenizer = _tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = _tokenizers.decoders.ByteLevel()
        tokenizer = _transformers.PreTrainedTokenizerFast(tokenizer_object=backend)
        tokenizer.add_special_tokens({"additional_special_tokens": list(special)})
        tokenizer.chat_template = template
        tokenizer.save_pretrained(str(saved))
    return _tokenizer_utils.load(saved)
