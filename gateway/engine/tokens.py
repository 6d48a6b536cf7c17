"""Text to tokens and back, for whoever asks for that alone. On the prompt thread."""

from gateway import wire
from gateway.engine.tokenizer import TemplateError, Tokenizer
from gateway.engine.window import Refusal


def tokenized(asked: wire.Tokenize, tokenizer: Tokenizer) -> wire.Tokenized:
    """Raises Refusal where the chat template refuses the messages."""
    if asked.text is not None:
        tokens = tokenizer.encode_text(asked.text, special_tokens=asked.special_tokens)
    else:
        try:
            tokens = tokenizer.encode_chat(
                asked.messages,
                asked.template_arguments,
                asked.tools,
                opens_answer=asked.opens_answer,
                special_tokens=asked.special_tokens,
            )
        except TemplateError as error:
            raise Refusal(str(error), param="messages") from error
    return wire.Tokenized(request_id=asked.request_id, tokens=tuple(tokens))


def detokenized(asked: wire.Detokenize, tokenizer: Tokenizer) -> wire.Tokenized:
    """Raises Refusal where one is no token."""
    check_tokens(asked.tokens, tokenizer, param="tokens")
    return wire.Tokenized(request_id=asked.request_id, text=tokenizer.decode(asked.tokens))


def check_tokens(tokens: tuple[int, ...], tokenizer: Tokenizer, *, param: str) -> None:
    """Raise Refusal where one is beyond the vocabulary."""
    beyond = next((token for token in tokens if token >= tokenizer.size), None)
    if beyond is not None:
        raise Refusal(f"{beyond} is no token: the vocabulary has {tokenizer.size}.", param=param)
