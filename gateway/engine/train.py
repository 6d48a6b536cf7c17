"""Train a small LoRA adapter on a few examples: enough for a model to have something that a build can lose."""

import json
import random
import time
from functools import partial
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
from mlx import nn, optimizers
from mlx.utils import tree_flatten  # pyright: ignore[reportUnknownVariableType] - partly typed
from mlx_lm import utils
from mlx_lm.tuner.utils import linear_to_lora_layers  # pyright: ignore[reportUnknownVariableType] - a bare Dict

from gateway.contracts.builds import Training, TrainingExample
from gateway.engine import device
from gateway.engine.job import JobError, Report
from gateway.engine.saved_model import load_in_float, told_in_a_sentence
from gateway.models.adapter import CONFIG, WEIGHTS
from gateway.models.model_files import ModelFiles

_SCALE = 10.0
_LONGEST_TOKENS = 1024
"""Of prompt and answer: a step's memory grows with them."""

_mlx_lm, _nn = cast("Any", utils), cast("Any", nn)  # Their functions are typed in part only.


def train(files: ModelFiles, training: Training, out: Path, report: Report) -> None:
    """Write the adapter. Raises JobError.

    The same order writes the same adapter: where its time is over before its steps, there is none.
    """
    report(0.0, f"reading {files.directory.name}")
    with told_in_a_sentence(f"{files.directory} cannot be trained"):
        model, _ = load_in_float(files)
        device.prepare_weights(model)
        tokenizer = _mlx_lm.load_tokenizer(files.directory)
        texts = [_tokenised(tokenizer, example) for example in training.examples]
        layers = min(training.layers, len(model.layers))
        parameters = {"rank": training.rank, "scale": _SCALE, "dropout": 0.0}
        mx.random.seed(training.seed)
        model.freeze()
        linear_to_lora_layers(model, layers, parameters)
        _descend(model, texts, training, report)
        weights = dict(cast("list[tuple[str, mx.array]]", tree_flatten(model.trainable_parameters())))
        mx.save_safetensors(str(out / WEIGHTS), weights)  # pyright: ignore[reportUnknownMemberType] - no result
    config = {"fine_tune_type": "lora", "num_layers": layers, "lora_parameters": parameters}
    (out / CONFIG).write_text(json.dumps(config, indent=2) + "\n")


def _tokenised(tokenizer: Any, example: TrainingExample) -> tuple[list[int], int]:
    """Return the tokens and how many of them the prompt has. The answer is tokenised apart, as it is scored."""
    messages = [{"role": message.role, "content": message.content} for message in example.messages]
    prompt = list(tokenizer.apply_chat_template(messages, add_generation_prompt=True))
    answer = [*tokenizer.encode(example.answer, add_special_tokens=False), tokenizer.eos_token_id]
    if len(prompt) + len(answer) > _LONGEST_TOKENS:
        raise JobError(
            f"An example has {len(prompt) + len(answer)} tokens, and {_LONGEST_TOKENS} may be trained on; leave it out."
        )
    return [*prompt, *answer], len(prompt)


def _descend(model: Any, texts: list[tuple[list[int], int]], training: Training, report: Report) -> None:
    optimizer: Any = optimizers.Adam(learning_rate=training.learning_rate)
    loss_and_gradient = _nn.value_and_grad(model, partial(_loss, model))
    draw = random.Random(training.seed)  # noqa: S311 - an order, and no secret
    model.train()
    started_s = time.monotonic()
    order: list[int] = []
    for step in range(training.steps):
        if time.monotonic() - started_s > training.limit_s:
            raise JobError(
                f"Training took longer than {training.limit_s:g} s, which is `training.limit_s`, and came to step "
                f"{step} of {training.steps}: ask for fewer steps, or raise it."
            )
        if not order:
            order = draw.sample(range(len(texts)), len(texts))
        tokens, prompt_length = texts[order.pop()]
        loss, gradient = loss_and_gradient(mx.array([tokens]), prompt_length)
        optimizer.update(model, gradient)
        mx.eval(model.trainable_parameters(), optimizer.state, loss)  # pyright: ignore[reportUnknownMemberType] - no arguments
        report((step + 1) / training.steps, f"step {step + 1} of {training.steps}, loss {loss.item():.2f}")


def _loss(model: Any, tokens: mx.array, prompt_length: int) -> mx.array:
    """Return the mean loss over the answer's tokens."""
    logits = model(tokens[:, :-1])[:, prompt_length - 1 :]
    return _nn.losses.cross_entropy(logits, tokens[:, prompt_length:], reduction="mean")
