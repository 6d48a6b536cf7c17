"""A spawned engine on the embedded model: what only real weights can show. Few and short: the model is slow here."""

import shutil
import time
from pathlib import Path

import msgspec
import psutil
import pytest

from gateway import wire
from gateway.engine.saved_model import predicted_build_bytes
from gateway.models.model_files import read_model_files
from tests.support.engine_client import WAIT_S, EngineClient, engine_spec, submit
from tests.support.models import embedded_model, quantised_model

pytestmark = pytest.mark.model

IMPORTED_BYTES = 150e6
"""What the process holds once mlx-lm is being imported; the weights come on top."""
PARIS = "What is the capital of France?"


@pytest.fixture
def copied_model(tmp_path: Path) -> Path:
    """A copy of the embedded model that a test may break."""
    return Path(shutil.copytree(embedded_model(), tmp_path / "model"))


def _load_failure(directory: Path) -> str:
    with EngineClient(engine_spec(directory)) as engine:
        message = engine.receive()
        assert isinstance(message, wire.LoadFailed)
        assert engine.process.wait(WAIT_S) == 1
        return message.message


def test_the_converted_model_answers_alone_as_it_does_in_a_batch() -> None:
    prompts = {"a": PARIS, "b": "Say hello.", "c": "What is 2 + 2? Answer with one number."}
    requests = [submit(name, prompt, max_completion_tokens=12) for name, prompt in prompts.items()]
    with EngineClient(engine_spec(embedded_model())) as engine:
        ready = engine.ready()
        assert ready.device in {"cpu", "metal"}
        assert not ready.dequantised
        assert ready.active_after_load_bytes > 250e6
        engine.send(*requests)
        together = engine.answers(*prompts)
        alone = {request.request_id: engine.ask(request) for request in requests}
        assert "Paris" in together["a"].text
        assert {name: answer.text for name, answer in alone.items()} == {
            name: answer.text for name, answer in together.items()
        }


def test_a_quantised_build_answers_and_a_seed_gives_the_same_text_whatever_runs_beside_it() -> None:
    seeded = submit("s", "Tell me a story.", max_completion_tokens=8, sampling=wire.Sampling(seed=4))
    with EngineClient(engine_spec(quantised_model(8))) as engine:
        ready = engine.ready()
        assert ready.dequantised == (ready.device == "cpu")
        assert "Paris" in engine.ask(submit("a", PARIS, max_completion_tokens=12)).text
        alone = engine.ask(seeded).text
        beside = msgspec.structs.replace(seeded, request_id="t", sampling=wire.Sampling())
        engine.send(beside, seeded)
        assert engine.answers("s", "t")["s"].text == alone


def test_a_build_is_as_large_as_predicted_and_keeps_the_tokenizer() -> None:
    base, build = embedded_model(), quantised_model(8)
    predicted = predicted_build_bytes(read_model_files(base).tensors.values(), bits=8, group_size=64)
    assert sum(tensor.stored_bytes for tensor in read_model_files(build).tensors.values()) == predicted
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (build / name).read_bytes() == (base / name).read_bytes()


def test_truncated_weights_fail_the_load_with_the_files_name(copied_model: Path) -> None:
    weights = copied_model / "model.safetensors"
    with weights.open("r+b") as file:
        file.truncate(weights.stat().st_size // 2)
    assert "it is truncated" in _load_failure(copied_model)


def test_a_model_type_that_is_not_supported_is_named(copied_model: Path) -> None:
    config = (copied_model / "config.json").read_text()
    (copied_model / "config.json").write_text(config.replace('"llama"', '"abacus"'))
    assert "abacus" in _load_failure(copied_model)


def test_weights_that_miss_a_tensor_fail_the_load_in_one_short_line(copied_model: Path) -> None:
    config = (copied_model / "config.json").read_text()
    layers = config.replace('"num_hidden_layers": 30', '"num_hidden_layers": 60')
    (copied_model / "config.json").write_text(layers)
    failure = _load_failure(copied_model)
    assert "Missing" in failure
    assert len(failure) < 600
    assert "\n" not in failure


def test_a_missing_tokenizer_fails_the_load(copied_model: Path) -> None:
    for path in copied_model.glob("tokenizer*"):
        path.unlink()
    assert str(copied_model) in _load_failure(copied_model)


def test_the_process_ends_with_its_parents_end_of_the_socket_while_weights_load() -> None:
    with EngineClient(engine_spec(embedded_model())) as engine:
        deadline = time.monotonic() + WAIT_S
        while psutil.Process(engine.process.pid).memory_info().rss < IMPORTED_BYTES:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        engine.connection.close()
        assert engine.process.wait(WAIT_S) == 0
