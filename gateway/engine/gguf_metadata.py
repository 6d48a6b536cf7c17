"""What a GGUF file says about its model: the keys of llama.cpp, read with their types."""

from collections.abc import Mapping
from typing import Any

from gateway.engine.job import JobError


class GgufMetadata:
    """The metadata of a GGUF file as MLX gives it: strings, lists of strings, and arrays, scalars among them."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def text(self, key: str) -> str:
        return str(self._value(key))

    def optional_text(self, key: str) -> str | None:
        value = self._values.get(key)
        return None if value is None else str(value)

    def texts(self, key: str) -> list[str]:
        return list(self._value(key))

    def integer(self, key: str) -> int:
        return int(self._value(key).item())

    def optional_integer(self, key: str) -> int | None:
        value = self._values.get(key)
        return None if value is None else int(value.item())

    def number(self, key: str) -> float:
        """Return a float32 as the shortest decimal that reads back as it: 1e-05 and not 9.99999975e-06."""
        return float(f"{self._value(key).item():.7g}")

    def integers(self, key: str) -> list[int]:
        return list(self._value(key).tolist())

    def flag(self, key: str) -> bool:
        return bool(self._value(key).item()) if key in self._values else False

    def _value(self, key: str) -> Any:
        if key not in self._values:
            raise JobError(f"The GGUF file has no `{key}` in its metadata; it is of a kind that cannot be converted.")
        return self._values[key]
