"""The weights of a model directory, judged by their headers: are they all there, and how many bytes are they?"""

import math
from pathlib import Path
from typing import Annotated, cast

import msgspec

from gateway.errors import InvalidRequest
from gateway.models.unreadable import read_json_object, unreadable

_LENGTH_BYTES = 8
_HEADER_LIMIT_BYTES = 100_000_000
"""Of the format: https://huggingface.co/docs/safetensors."""
_INDEX = "model.safetensors.index.json"


class Tensor(msgspec.Struct, frozen=True):
    """One tensor as a safetensors header describes it."""

    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[Annotated[int, msgspec.Meta(ge=0)], Annotated[int, msgspec.Meta(ge=0)]]
    """Bytes, from the end of the header."""

    @property
    def size(self) -> int:
        """Elements."""
        return math.prod(self.shape)

    @property
    def stored_bytes(self) -> int:
        return self.data_offsets[1] - self.data_offsets[0]


def weight_files(directory: Path) -> list[Path]:
    """Return the files that mlx-lm's loader takes the weights from, in order.

    Raises InvalidRequest (MODEL_UNREADABLE) where there are none, or one that the index names is missing.
    """
    files = sorted(directory.glob("model*.safetensors"))
    if not files:
        raise unreadable(
            f"{directory} has no model*.safetensors: give a directory in MLX's format, which mlx_lm.convert makes"
        )
    missing = sorted(_indexed(directory) - {file.name for file in files})
    if missing:
        raise unreadable(f"{directory / missing[0]} is missing, and {_INDEX} names it: download the model again")
    return files


def read_header(file: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file by name, read from its header alone.

    Raises OSError where it cannot be read, and InvalidRequest (MODEL_UNREADABLE) where the header is no header or the
    file ends before its tensors do.
    """
    size_bytes = file.stat().st_size
    with file.open("rb") as stream:
        header_bytes = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
        if size_bytes < _LENGTH_BYTES or header_bytes > min(size_bytes - _LENGTH_BYTES, _HEADER_LIMIT_BYTES):
            raise _damaged(file, f"its {size_bytes} bytes are too few for its header")
        tensors = _decode_header(file, stream.read(header_bytes))
    promised_bytes = max(tensor.data_offsets[1] for tensor in tensors.values())
    present_bytes = size_bytes - _LENGTH_BYTES - header_bytes
    if present_bytes < promised_bytes:
        raise _damaged(
            file, f"it is truncated: its header promises {promised_bytes} bytes of tensors, {present_bytes} are there"
        )
    return tensors


def tensor_bytes(file: Path) -> int:
    """Return the bytes of all tensors in a safetensors file. Raises as `read_header` does."""
    return sum(tensor.stored_bytes for tensor in read_header(file).values())


def _decode_header(file: Path, header: bytes) -> dict[str, Tensor]:
    try:
        entries = msgspec.json.decode(header, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError as error:
        raise _damaged(file, "its header holds no JSON object") from error
    except msgspec.DecodeError as error:
        raise _damaged(file, "its header is not JSON") from error
    entries.pop("__metadata__", None)
    try:
        tensors = {name: msgspec.json.decode(entry, type=Tensor) for name, entry in entries.items()}
    except msgspec.DecodeError as error:
        raise _damaged(file, f"its header describes a tensor that is none ({error})") from error
    if not tensors:
        raise _damaged(file, "it holds no tensors")
    if any(tensor.stored_bytes < 0 for tensor in tensors.values()):
        raise _damaged(file, "its header describes a tensor without valid data_offsets")
    return tensors


def _indexed(directory: Path) -> set[str]:
    index = directory / _INDEX
    if not index.exists():
        return set()
    shards = read_json_object(index).get("weight_map")
    if not isinstance(shards, dict):
        raise unreadable(f"{index} has no weight_map: download the model again")
    return {str(shard) for shard in cast("dict[str, object]", shards).values()}


def _damaged(file: Path, problem: str) -> InvalidRequest:
    return unreadable(f"{file} is damaged ({problem}): download or convert the model again")
