"""An adapter, a draft model and a quantised cache as parts of an EngineSpec, and what broken ones are told."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.scripted import SCRIPT_FILE
from gateway.contracts.variants import EngineOptions, EngineSpec
from gateway.errors import InvalidRequest
from gateway.models import read_model_directory, with_options
from tests.unit.models.conftest import CONFIG, write_safetensors
from tests.unit.models.test_directory import Remembered, ignore

ADAPTER_CONFIG = {
    "fine_tune_type": "lora",
    "num_layers": 2,
    "lora_parameters": {"rank": 4, "scale": 20.0, "dropout": 0.0},
    "learning_rate": 1e-5,
}


@pytest.fixture
def engine(model: Path) -> EngineSpec:
    (model / "config.json").write_text(json.dumps({**CONFIG, "vocab_size": 300, "head_dim": 64}))
    return read_model_directory(model, max_rows=4, digest_cache=Remembered(), on_progress=ignore).engine


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    directory = tmp_path / "lora"
    directory.mkdir()
    (directory / "adapter_config.json").write_text(json.dumps(ADAPTER_CONFIG))
    write_safetensors(directory / "adapters.safetensors", 50)
    return directory


@pytest.fixture
def draft(make_model: Callable[[str], Path]) -> Path:
    directory = make_model("draft")
    config = {**CONFIG, "vocab_size": 300, "head_dim": 64, "num_hidden_layers": 1, "max_position_embeddings": 1024}
    (directory / "config.json").write_text(json.dumps(config))
    return directory


def extended(engine: EngineSpec, **options: object) -> EngineSpec:
    chosen = EngineOptions(**options)  # pyright: ignore[reportArgumentType] - the tests' own words, one by one
    return with_options(engine, chosen, relative_allowed=False, digest_cache=Remembered(), on_progress=ignore)


def refusal(engine: EngineSpec, param: str | None, **options: object) -> str:
    with pytest.raises(InvalidRequest) as raised:
        extended(engine, **options)
    assert raised.value.code is ErrorCode.MODEL_UNREADABLE
    assert raised.value.param == param
    assert "\n" not in raised.value.message
    assert ": " in raised.value.message, "no remedy"
    return raised.value.message


def test_an_adapter_is_part_of_the_digest_and_its_place_is_not(engine: EngineSpec, adapter: Path) -> None:
    with_adapter = extended(engine, adapter=str(adapter))
    assert with_adapter.adapter_path == str(adapter)
    assert with_adapter.digest != engine.digest
    assert with_adapter.weights_bytes == engine.weights_bytes + 50
    assert (with_adapter.max_rows, with_adapter.one_at_a_time) == (4, False)
    moved = extended(engine, adapter=str(adapter.rename(adapter.with_name("moved"))))
    assert moved.digest == with_adapter.digest


@pytest.mark.parametrize("name", ["adapter_config.json", "adapters.safetensors"])
def test_a_byte_of_an_adapter_changes_the_digest_and_a_checkpoint_beside_it_does_not(
    engine: EngineSpec, adapter: Path, name: str
) -> None:
    before = extended(engine, adapter=str(adapter)).digest
    (adapter / "0000100_adapters.safetensors").write_bytes(b"a checkpoint")
    assert extended(engine, adapter=str(adapter)).digest == before
    content = (adapter / name).read_bytes()
    (adapter / name).write_bytes(content.replace(b"1e-05", b"2e-05") if name.endswith("json") else content[:-1] + b"2")
    assert extended(engine, adapter=str(adapter)).digest != before


def test_an_engine_without_options_keeps_the_digest_that_it_had_before_there_were_any(engine: EngineSpec) -> None:
    assert extended(engine) == engine
    assert extended(engine, kv_group_size=32).digest == engine.digest


@pytest.mark.parametrize("name", ["adapter_config.json", "adapters.safetensors"])
def test_an_adapter_without_one_of_its_files_is_refused(engine: EngineSpec, adapter: Path, name: str) -> None:
    (adapter / name).unlink()
    assert f"has no {name}" in refusal(engine, "adapter", adapter=str(adapter))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "does not describe a LoRA adapter"),
        ("[]", "does not describe a LoRA adapter"),
        ('{"num_layers": 2}', "lora_parameters"),
        (json.dumps({**ADAPTER_CONFIG, "lora_parameters": {"scale": 1.0}}), "rank"),
        (json.dumps({**ADAPTER_CONFIG, "fine_tune_type": "full"}), "full"),
    ],
)
def test_an_adapter_with_a_wrong_configuration_is_refused(
    engine: EngineSpec, adapter: Path, content: str, problem: str
) -> None:
    (adapter / "adapter_config.json").write_text(content)
    assert problem in refusal(engine, "adapter", adapter=str(adapter))


def test_a_truncated_adapter_is_refused(engine: EngineSpec, adapter: Path) -> None:
    weights = adapter / "adapters.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert "truncated" in refusal(engine, "adapter", adapter=str(adapter))


def test_an_adapter_that_is_nowhere_or_relative_is_refused(engine: EngineSpec, tmp_path: Path) -> None:
    assert "has no adapter_config.json" in refusal(engine, "adapter", adapter=str(tmp_path / "none"))
    assert "relative" in refusal(engine, "adapter", adapter="./lora")


def test_a_draft_model_makes_the_engine_serve_one_at_a_time(engine: EngineSpec, draft: Path) -> None:
    with_draft = extended(engine, draft=str(draft))
    assert (with_draft.max_rows, with_draft.one_at_a_time) == (1, True)
    assert with_draft.context_length == 1024
    assert with_draft.weights_bytes == 2 * engine.weights_bytes
    assert with_draft.kv_bytes_per_token == engine.kv_bytes_per_token * 3 / 2
    assert with_draft.digest != engine.digest


def test_a_draft_model_of_another_vocabulary_is_refused(engine: EngineSpec, draft: Path) -> None:
    (draft / "config.json").write_text(json.dumps({**CONFIG, "vocab_size": 301}))
    assert "vocabulary of 301" in refusal(engine, "draft", draft=str(draft))


def test_a_draft_directory_that_is_no_model_is_refused(engine: EngineSpec, tmp_path: Path) -> None:
    assert "does not exist" in refusal(engine, "draft", draft=str(tmp_path / "none"))


def test_a_quantised_cache_is_smaller_and_serves_one_at_a_time(engine: EngineSpec) -> None:
    quantised = extended(engine, kv_bits=8, kv_group_size=32)
    assert (quantised.max_rows, quantised.one_at_a_time) == (1, True)
    assert quantised.kv_bytes_per_token == engine.kv_bytes_per_token * 9 / 16
    assert quantised.digest != extended(engine, kv_bits=4, kv_group_size=32).digest


def test_a_group_that_does_not_divide_the_keys_is_refused(engine: EngineSpec) -> None:
    assert "groups of 128" in refusal(engine, "kv_bits", kv_bits=8, kv_group_size=128)


def test_an_option_that_the_source_has_already_is_refused(engine: EngineSpec, adapter: Path, draft: Path) -> None:
    with_both = extended(engine, adapter=str(adapter), draft=str(draft))
    assert "already" in refusal(with_both, "adapter", adapter=str(adapter))
    assert "already" in refusal(with_both, "draft", draft=str(draft))


def test_a_scripted_model_takes_no_options(adapter: Path, tmp_path: Path) -> None:
    directory = tmp_path / "scripted"
    directory.mkdir()
    (directory / SCRIPT_FILE).write_text("")
    engine = read_model_directory(directory, max_rows=1, digest_cache=Remembered(), on_progress=ignore).engine
    assert "scripted" in refusal(engine, "source", adapter=str(adapter))
