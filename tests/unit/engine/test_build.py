"""Builds of a small random llama, in this process: what is in the weights, and what each planted fault spoils."""

import json
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
import msgspec
import pytest

from gateway.contracts.builds import PROVENANCE_FILE, BuildKind, Provenance, Training, TrainingExample, TrainingMessage
from gateway.contracts.jobs import BuildOrder
from gateway.engine import build_directory
from gateway.engine.build import build
from gateway.engine.faults import WRONG_TEMPLATE
from gateway.engine.job import JobError
from gateway.models.adapter import check_adapter
from tests.support.tiny_llama import LORA, write_adapter, write_model

pytestmark = pytest.mark.model

ADAPTED = "model.layers.1.self_attn.q_proj"
SMALL = 0.04
"""Of each of the adapter's two factors: their product is then less than half of a step of 4 bits."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("tiny") / "tiny")


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_adapter(tmp_path_factory.mktemp("adapter") / "adapter")


def made(out: Path, model: Path, kind: BuildKind, **fields: Any) -> Path:
    provenance = Provenance(kind=kind, digest="d", model=str(model), model_digest="m")
    order = BuildOrder(kind=kind, model=str(model), provenance=provenance, out=str(out), **fields)
    assert build(order, lambda _share, _message: None) == {"path": str(out)}
    return out


def weights(directory: Path) -> dict[str, mx.array]:
    return cast("dict[str, mx.array]", mx.load(str(directory / "model.safetensors")))


def same(one: mx.array, other: mx.array) -> bool:
    return one.shape == other.shape and bool(mx.array_equal(one, other).item())


def provenance(directory: Path) -> Provenance:
    return msgspec.json.decode((directory / PROVENANCE_FILE).read_bytes(), type=Provenance)


def test_a_fuse_adds_the_adapters_product_in_float(model: Path, adapter: Path, tmp_path: Path) -> None:
    fused = weights(made(tmp_path / "out", model, BuildKind.FUSE, adapter=str(adapter)))
    lora = cast("dict[str, mx.array]", mx.load(str(adapter / "adapters.safetensors")))
    delta = LORA["lora_parameters"]["scale"] * (lora[f"{ADAPTED}.lora_a"] @ lora[f"{ADAPTED}.lora_b"]).T
    expected = weights(model)[f"{ADAPTED}.weight"] + delta
    assert bool(mx.allclose(fused[f"{ADAPTED}.weight"], expected, atol=1e-4).item())
    assert not same(fused[f"{ADAPTED}.weight"], weights(model)[f"{ADAPTED}.weight"])


def test_a_quantised_base_is_dequantised_first_and_the_provenance_says_so(
    model: Path, adapter: Path, tmp_path: Path
) -> None:
    base = made(tmp_path / "base", model, BuildKind.QUANTISE, bits=4)
    assert not provenance(base).dequantised_base
    fused = made(tmp_path / "fused", base, BuildKind.FUSE, adapter=str(adapter))
    assert provenance(fused).dequantised_base
    assert provenance(fused).versions.keys() == {"mlx", "mlx-lm"}
    assert (provenance(fused).took_s or 0) > 0
    assert "quantization" not in json.loads((fused / "config.json").read_text())
    assert f"{ADAPTED}.scales" not in weights(fused)


def test_a_requantised_fuse_loses_a_small_adapter_that_a_fuse_in_float_keeps(model: Path, tmp_path: Path) -> None:
    small = write_adapter(tmp_path / "small")
    lora = cast("dict[str, mx.array]", mx.load(str(small / "adapters.safetensors")))
    mx.save_safetensors(  # pyright: ignore[reportUnknownMemberType] - its stub types no result
        str(small / "adapters.safetensors"), {name: SMALL * array for name, array in lora.items()}
    )
    base = made(tmp_path / "base", model, BuildKind.QUANTISE, bits=4)
    lost = made(tmp_path / "lost", model, BuildKind.REQUANTISED_FUSE, adapter=str(small), bits=4)
    fused = made(tmp_path / "fused", model, BuildKind.FUSE, adapter=str(small))
    kept = made(tmp_path / "kept", fused, BuildKind.QUANTISE, bits=4)
    delta = _matrix(fused) - _matrix(model)
    share_kept, share_lost = (
        cast("float", (mx.sum((_matrix(build) - _matrix(base)) * delta) / mx.sum(delta * delta)).item())
        for build in (kept, lost)
    )
    assert share_kept > 0.8
    assert share_lost < 0.5


def _matrix(directory: Path) -> mx.array:
    """Return the adapted matrix as it computes, dequantised where it is quantised to 4 bits."""
    of = weights(directory)
    matrix = of[f"{ADAPTED}.weight"]
    if f"{ADAPTED}.scales" not in of:
        return matrix
    return mx.dequantize(matrix, of[f"{ADAPTED}.scales"], of[f"{ADAPTED}.biases"], group_size=64, bits=4)


def test_a_requantised_fuse_of_a_quantised_base_keeps_its_bits(model: Path, adapter: Path, tmp_path: Path) -> None:
    base = made(tmp_path / "base", model, BuildKind.QUANTISE, bits=8)
    fused = made(tmp_path / "out", base, BuildKind.REQUANTISED_FUSE, adapter=str(adapter), bits=4)
    assert json.loads((fused / "config.json").read_text())["quantization"]["bits"] == 8
    assert not provenance(fused).dequantised_base


def test_a_dropped_adapter_is_the_quantised_base(model: Path, tmp_path: Path) -> None:
    dropped = weights(made(tmp_path / "out", model, BuildKind.DROPPED_ADAPTER, bits=8))
    base = weights(made(tmp_path / "base", model, BuildKind.QUANTISE, bits=8))
    assert dropped.keys() == base.keys()
    assert all(same(array, base[name]) for name, array in dropped.items())


def test_a_shuffled_layer_has_anothers_weights_and_the_rest_stays(model: Path, tmp_path: Path) -> None:
    shuffled, whole = weights(made(tmp_path / "out", model, BuildKind.SHUFFLED_LAYER)), weights(model)
    assert same(shuffled["model.layers.0.mlp.up_proj.weight"], whole["model.layers.1.mlp.up_proj.weight"])
    assert same(shuffled["model.layers.1.mlp.up_proj.weight"], whole["model.layers.0.mlp.up_proj.weight"])
    assert same(shuffled["model.embed_tokens.weight"], whole["model.embed_tokens.weight"])


def test_a_wrong_template_is_the_only_thing_that_is_wrong(model: Path, tmp_path: Path) -> None:
    out = made(tmp_path / "out", model, BuildKind.WRONG_TEMPLATE)
    assert (out / "chat_template.jinja").read_text() == WRONG_TEMPLATE
    assert "chat_template" not in json.loads((out / "tokenizer_config.json").read_text())
    assert (model / "chat_template.jinja").read_text() != WRONG_TEMPLATE
    assert all(same(array, weights(model)[name]) for name, array in weights(out).items())


def test_a_truncated_tokenizer_lost_half_of_its_merges(model: Path, tmp_path: Path) -> None:
    out = made(tmp_path / "out", model, BuildKind.TRUNCATED_TOKENIZER)
    merges = [json.loads((of / "tokenizer.json").read_text())["model"]["merges"] for of in (model, out)]
    assert merges[1] == merges[0][: len(merges[0]) // 2]


def test_training_learns_the_answer_and_takes_the_same_steps_again(model: Path, tmp_path: Path) -> None:
    example = TrainingExample(messages=(TrainingMessage(role="user", content="Say it."),), answer="one two three")
    training = tmp_path / "training.json"
    training.write_bytes(msgspec.json.encode(Training(examples=(example,), steps=4, learning_rate=3e-2)))
    losses: list[str] = []

    def trained(name: str) -> dict[str, mx.array]:
        order = BuildOrder(
            kind=BuildKind.TRAIN,
            model=str(model),
            training=str(training),
            provenance=Provenance(kind=BuildKind.TRAIN, digest="d", model=str(model), model_digest="m"),
            out=str(tmp_path / name),
        )
        build(order, lambda _share, message: losses.append(message))
        return cast("dict[str, mx.array]", mx.load(str(tmp_path / name / "adapters.safetensors")))

    one, other = trained("one"), trained("other")
    assert all(same(array, other[name]) for name, array in one.items())
    check_adapter(tmp_path / "one")
    said = [float(message.rpartition(" ")[2]) for message in losses if "loss" in message]
    assert said[3] < said[0] - 0.3
    assert said[4:] == said[:4]


def test_what_cannot_be_built_is_one_sentence_and_leaves_nothing(model: Path, adapter: Path, tmp_path: Path) -> None:
    foreign = write_adapter(tmp_path / "foreign", hidden_size=128)
    with pytest.raises(JobError, match="does not fit the model") as caught:
        made(tmp_path / "out", model, BuildKind.FUSE, adapter=str(foreign))
    assert "\n" not in str(caught.value)
    with pytest.raises(JobError, match="is not quantised; say `bits`"):
        made(tmp_path / "out", model, BuildKind.REQUANTISED_FUSE, adapter=str(adapter))
    with pytest.raises(JobError, match="`training` is missing"):
        made(tmp_path / "out", model, BuildKind.TRAIN)
    with pytest.raises(JobError, match="/no/model is not a directory"):
        made(tmp_path / "out", Path("/no/model"), BuildKind.QUANTISE, bits=4)
    assert [path.name for path in tmp_path.iterdir()] == ["foreign"]


def test_a_tokenizer_without_merges_cannot_be_truncated(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model")
    (model / "tokenizer.json").write_text("{}")
    with pytest.raises(JobError, match="has no merges"):
        made(tmp_path / "out", model, BuildKind.TRUNCATED_TOKENIZER)
    assert not (tmp_path / "out").exists()


def test_an_example_that_is_too_long_to_train_on_is_refused(model: Path, tmp_path: Path) -> None:
    example = TrainingExample(messages=(TrainingMessage(role="user", content="word " * 1200),), answer="x")
    training = tmp_path / "training.json"
    training.write_bytes(msgspec.json.encode(Training(examples=(example,))))
    with pytest.raises(JobError, match="1024 may be trained on"):
        made(tmp_path / "out", model, BuildKind.TRAIN, training=str(training))


def test_training_that_takes_too_long_leaves_nothing(model: Path, tmp_path: Path) -> None:
    example = TrainingExample(messages=(TrainingMessage(role="user", content="Say it."),), answer="one two three")
    training = tmp_path / "training.json"
    training.write_bytes(msgspec.json.encode(Training(examples=(example,), limit_s=1e-9)))
    with pytest.raises(JobError, match=r"`training\.limit_s`, and came to step 0 of 40: ask for fewer"):
        made(tmp_path / "out", model, BuildKind.TRAIN, training=str(training))
    assert [path.name for path in tmp_path.iterdir()] == ["training.json"]


def test_a_full_disk_is_refused_before_any_work(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_directory.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1024})())
    with pytest.raises(JobError, match="free some space"):
        made(tmp_path / "out", model, BuildKind.QUANTISE, bits=4)
    assert list(tmp_path.iterdir()) == []
