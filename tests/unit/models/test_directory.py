"""From a directory to a Variant, and what a broken directory is told."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.variants import EngineKind, Quantization, SamplingDefaults, Variant
from gateway.errors import InvalidRequest
from gateway.models import read_model_directory
from tests.unit.models.conftest import CONFIG, write_safetensors

FileKey = tuple[str, int, int, int]


class Remembered(dict[FileKey, str]):
    """Digests in a dictionary, where the registry keeps them on disk."""

    def cached_file_digest(self, path: str, size_bytes: int, mtime_ns: int, inode: int) -> str | None:
        return self.get((path, size_bytes, mtime_ns, inode))

    def store_file_digest(self, path: str, size_bytes: int, mtime_ns: int, inode: int, digest: str) -> None:
        self[path, size_bytes, mtime_ns, inode] = digest


def ignore(_done_ratio: float, _message: str) -> None:
    """Show no progress."""


def read(
    directory: Path, cache: Remembered | None = None, on_progress: Callable[[float, str], None] = ignore
) -> Variant:
    cache = Remembered() if cache is None else cache
    return read_model_directory(directory, max_rows=4, digest_cache=cache, on_progress=on_progress)


def refusal(directory: Path) -> str:
    with pytest.raises(InvalidRequest) as raised:
        read(directory)
    assert raised.value.code is ErrorCode.MODEL_UNREADABLE
    assert "\n" not in raised.value.message
    assert ": " in raised.value.message, "no remedy"
    return raised.value.message


def configure(directory: Path, **changes: object) -> None:
    (directory / "config.json").write_text(json.dumps({**CONFIG, **changes}))


def test_a_model_is_what_its_files_say(model: Path) -> None:
    variant = read(model)
    engine = variant.engine
    assert variant.name == "tutor"
    assert (engine.kind, engine.path, engine.max_rows) == (EngineKind.MLX, str(model), 4)
    assert engine.quantization == Quantization(bits=5, group_size=64)
    assert engine.context_length == 2048
    assert engine.weights_bytes == 123
    assert engine.kv_bytes_per_token == 2 * 2 * 2 * 16 * 2
    assert engine.disk_bytes == sum(file.stat().st_size for file in model.iterdir())
    assert variant.sampling == SamplingDefaults()
    assert variant.prompt.template_digest != ""


def test_what_a_model_leaves_out_has_its_usual_meaning(model: Path) -> None:
    plain = {key: value for key, value in CONFIG.items() if key not in {"quantization", "num_key_value_heads"}}
    (model / "config.json").write_text(json.dumps(plain))
    (model / "tokenizer_config.json").unlink()
    variant = read(model)
    assert variant.engine.quantization is None
    assert variant.engine.kv_bytes_per_token == 2 * 2 * 4 * 16 * 2
    assert variant.prompt.template_digest == ""


def test_the_text_part_of_a_larger_model_is_read(model: Path) -> None:
    text = {"max_position_embeddings": 512, "head_dim": 128, "num_hidden_layers": 3, "num_attention_heads": 2}
    (model / "config.json").write_text(json.dumps({"model_type": "vision", "text_config": text}))
    engine = read(model).engine
    assert (engine.context_length, engine.kv_bytes_per_token) == (512, 2 * 3 * 2 * 128 * 2)


def test_an_older_architectures_names_are_read(model: Path) -> None:
    names = {"n_positions": 1024, "n_layer": 12, "n_head": 12, "n_embd": 768}
    (model / "config.json").write_text(json.dumps(names))
    assert read(model).engine.kv_bytes_per_token == 2 * 12 * 12 * 64 * 2


def test_advised_sampling_is_the_default(model: Path) -> None:
    (model / "generation_config.json").write_text('{"temperature": 0.6, "top_p": 0.95, "eos_token_id": 2}')
    assert read(model).sampling == SamplingDefaults(temperature=0.6, top_p=0.95)
    (model / "generation_config.json").write_text(
        '{"temperature": null, "top_k": 20, "min_p": 0.05, "repetition_penalty": 1.05}'
    )
    assert read(model).sampling == SamplingDefaults(top_k=20, min_p=0.05, repetition_penalty=1.05)


def test_the_template_is_taken_from_where_the_model_keeps_it(model: Path) -> None:
    inline = read(model).prompt.template_digest
    (model / "chat_template.jinja").write_text("{{ messages }}")
    assert read(model).prompt.template_digest == inline
    (model / "chat_template.jinja").write_text("{{ other }}")
    assert read(model).prompt.template_digest != inline
    (model / "chat_template.jinja").unlink()
    several = {"chat_template": [{"name": "default", "template": "{{ messages }}"}]}
    (model / "tokenizer_config.json").write_text(json.dumps(several))
    assert read(model).prompt.template_digest not in {"", inline}


# --- the digest ---


def test_the_same_content_elsewhere_is_the_same_variant(model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "copy")
    assert read(tmp_path / "copy").digest == read(model).digest


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"])
def test_any_file_that_the_engine_reads_makes_another_variant(model: Path, name: str) -> None:
    before = read(model).digest
    content = (model / name).read_bytes()
    (model / name).write_bytes(content[:-1] + (b"\x02" if name == "model.safetensors" else content[-1:] + b" "))
    assert read(model).digest != before


def test_a_file_more_or_less_makes_another_variant(model: Path) -> None:
    before = read(model).digest
    (model / "added_tokens.json").write_text("{}")
    assert read(model).digest != before


def test_the_tokenizers_files_have_a_digest_of_their_own(model: Path) -> None:
    before = read(model).engine
    (model / "model.safetensors").write_bytes((model / "model.safetensors").read_bytes()[:-1] + b"\x02")
    weights = read(model).engine
    assert (weights.tokenizer_digest, weights.digest != before.digest) == (before.tokenizer_digest, True)
    (model / "tokenizer.json").write_text('{"another": 1}')
    assert read(model).engine.tokenizer_digest != before.tokenizer_digest


def test_a_readme_makes_no_other_variant(model: Path) -> None:
    before = read(model).digest
    (model / "README.md").write_text("nice")
    (model / "adapters.safetensors").write_text("not loaded")
    assert read(model).digest == before


def test_a_file_is_hashed_once_while_it_stays(model: Path) -> None:
    cache = Remembered()
    told: list[float] = []
    first = read(model, cache, lambda done, _: told.append(done))
    assert told[-1] == 1.0
    assert told == sorted(told)
    told.clear()
    assert read(model, cache, lambda done, _: told.append(done)) == first
    assert told == []
    os.utime(model / "config.json", ns=(1, 1))
    assert read(model, cache, lambda done, _: told.append(done)) == first
    assert len(told) == 1


def test_a_file_that_changes_while_it_is_read_is_not_trusted(model: Path) -> None:
    cache = Remembered()

    def grow(_done_ratio: float, message: str) -> None:
        if message == "reading model.safetensors":
            with (model / "model.safetensors").open("ab") as file:
                file.write(b"more")

    with pytest.raises(InvalidRequest, match=r"model\.safetensors changed while it was read"):
        read(model, cache, grow)
    assert not [key for key in cache if key[0].endswith("model.safetensors")]


# --- what is wrong with it ---


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file_is_named(model: Path, name: str) -> None:
    (model / name).unlink()
    assert name.removeprefix("model") in refusal(model)


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    assert str(tmp_path / "nowhere") in refusal(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"null"])
def test_a_file_that_is_no_json_object_is_named(model: Path, name: str, content: bytes) -> None:
    (model / name).write_bytes(content)
    assert name in refusal(model)


def test_a_directory_in_place_of_a_file_is_named(model: Path) -> None:
    (model / "config.json").unlink()
    (model / "config.json").mkdir()
    assert "config.json cannot be read" in refusal(model)


@pytest.mark.parametrize("key", ["max_position_embeddings", "num_hidden_layers", "num_attention_heads", "hidden_size"])
@pytest.mark.parametrize("value", [None, "many", 0, -1, 1.5, True])
def test_a_size_that_the_budget_needs_must_be_there(model: Path, key: str, value: object) -> None:
    configure(model, **{key: value})
    message = refusal(model)
    assert key in message
    assert "config.json" in message


@pytest.mark.parametrize("quantization", ["5", {"bits": 5}, {"bits": "5", "group_size": 64}, []])
def test_a_quantisation_without_its_numbers_is_refused(model: Path, quantization: object) -> None:
    configure(model, quantization=quantization)
    assert "bits and group_size" in refusal(model)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("temperature", -1),
        ("temperature", "hot"),
        ("top_p", 1.1),
        ("top_p", True),
        ("top_k", 1.5),
        ("top_k", -1),
        ("min_p", 2),
        ("repetition_penalty", 0),
    ],
)
def test_an_impossible_advice_is_refused(model: Path, key: str, value: object) -> None:
    (model / "generation_config.json").write_text(json.dumps({key: value}))
    assert f"generation_config.json says {key}" in refusal(model)


def test_truncated_weights_are_refused_whatever_was_cut(model: Path) -> None:
    file = model / "model.safetensors"
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        assert f"{file} is damaged" in refusal(model)
    file.write_bytes(whole)
    read(model)


@pytest.mark.parametrize(
    "header",
    [
        b"not json",
        b"[]",
        b"{}",
        b'{"__metadata__": {}}',
        b'{"t": 1}',
        b'{"t": {"dtype": "U8"}}',
        b'{"t": {"data_offsets": [5, 1]}}',
        b'{"t": {"data_offsets": [-5, 1]}}',
        b'{"t": {"data_offsets": [0]}}',
        b'{"t": {"data_offsets": [0, "1"]}}',
        b'{"t": {"data_offsets": [0, 1e400]}}',
    ],
)
def test_a_header_that_is_no_header_is_refused(model: Path, header: bytes) -> None:
    (model / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    assert "model.safetensors is damaged" in refusal(model)


def test_a_header_as_long_as_the_universe_is_not_read(model: Path) -> None:
    (model / "model.safetensors").write_bytes(b"\xff" * 100)
    assert "too few for its header" in refusal(model)


def test_a_shard_that_the_index_names_must_be_there(model: Path) -> None:
    (model / "model.safetensors").unlink()
    write_safetensors(model / "model-00001-of-00002.safetensors", 5)
    index = model / "model.safetensors.index.json"
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    index.write_text(json.dumps({"weight_map": shards}))
    assert "model-00002-of-00002.safetensors is missing" in refusal(model)
    write_safetensors(model / "model-00002-of-00002.safetensors", 6)
    assert read(model).engine.weights_bytes == 11
    index.write_text("{}")
    assert "no weight_map" in refusal(model)


def test_weights_in_another_format_are_told_how_to_become_mlxs(model: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    assert "mlx_lm.convert" in refusal(model)


# --- the shipped fake ---


def test_a_script_is_a_model(tmp_path: Path) -> None:
    script = tmp_path / "scripted.toml"
    script.write_text("context_length = 100\nweights_bytes = 5\nkv_bytes_per_token = 6\ndisk_bytes = 7\n")
    engine = read(tmp_path).engine
    assert engine.kind is EngineKind.SCRIPTED
    sizes = (engine.context_length, engine.weights_bytes, engine.kv_bytes_per_token, engine.disk_bytes)
    assert sizes == (100, 5, 6, 7)
    script.write_text(script.read_text() + "default_text = 'other'\n")
    assert read(tmp_path).engine.digest != engine.digest


@pytest.mark.parametrize("content", [b"a =", b"anwsers = []", b"context_length = 0", b"\xff"])
def test_a_script_that_is_wrong_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "scripted.toml").write_bytes(content)
    assert "scripted.toml cannot be used" in refusal(tmp_path)
