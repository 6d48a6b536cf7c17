import json
from pathlib import Path

import pytest

from gateway.errors import InvalidRequest
from gateway.models.model_files import read_model_files


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A directory with one matrix of 4 x 64 in float16, and nothing else."""
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    header = json.dumps({"w.weight": {"dtype": "F16", "shape": [4, 64], "data_offsets": [0, 512]}}).encode()
    (tmp_path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(512))
    return tmp_path


def test_headers_are_read_without_the_weights(model: Path) -> None:
    files = read_model_files(model)
    assert (files.tensors["w.weight"].size, files.tensors["w.weight"].stored_bytes) == (256, 512)
    assert not files.quantised


def test_a_model_that_says_so_is_quantised(model: Path) -> None:
    (model / "config.json").write_text('{"model_type": "llama", "quantization": {"bits": 4}}')
    assert read_model_files(model).quantised


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="gone is not a directory"):
        read_model_files(tmp_path / "gone")


def test_a_truncated_file_is_named_with_its_bytes(model: Path) -> None:
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InvalidRequest, match=r"model\.safetensors is damaged \(it is truncated.*again"):
        read_model_files(model)


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 64, b"\x02\0\0\0\0\0\0\0[]", b"\x04\0\0\0\0\0\0\0null"])
def test_a_file_that_is_no_safetensors_is_named(model: Path, content: bytes) -> None:
    (model / "model.safetensors").write_bytes(content)
    with pytest.raises(InvalidRequest, match=r"model\.safetensors is damaged"):
        read_model_files(model)


def test_a_directory_without_weights_is_no_model(model: Path) -> None:
    (model / "model.safetensors").unlink()
    with pytest.raises(InvalidRequest, match=r"has no model\*\.safetensors"):
        read_model_files(model)


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "missing"), ("{", "is not JSON"), ("[]", "holds no JSON object"), ("{}", "model_type")],
)
def test_a_configuration_that_is_none_is_named(model: Path, content: str | None, said: str) -> None:
    (model / "config.json").unlink()
    if content is not None:
        (model / "config.json").write_text(content)
    with pytest.raises(InvalidRequest, match=rf"config\.json.*{said}"):
        read_model_files(model)
