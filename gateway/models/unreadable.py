"""The one way in which a model's files are refused: a sentence with the file, what is wrong, and the remedy."""

import json
from pathlib import Path
from typing import cast

from gateway.contracts.error_codes import ErrorCode
from gateway.errors import InvalidRequest


def unreadable(message: str) -> InvalidRequest:
    return InvalidRequest(message, code=ErrorCode.MODEL_UNREADABLE, param="source")


def read_json_object(file: Path) -> dict[str, object]:
    """Read a JSON file that must hold an object. Raises OSError, or InvalidRequest (MODEL_UNREADABLE)."""
    try:
        value: object = json.loads(file.read_bytes())
    except ValueError as error:
        raise unreadable(f"{file} is not JSON ({error}): restore it from where the model came") from error
    if not isinstance(value, dict):
        raise unreadable(f"{file} holds no JSON object: restore it from where the model came")
    return cast("dict[str, object]", value)
