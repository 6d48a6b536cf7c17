import asyncio
from pathlib import Path

import pytest

from gateway.errors import GatewayError
from gateway.quantization import quantize_model


@pytest.mark.parametrize(
    ("model", "bits", "group_size", "said"),
    [
        ("./model", "7", 64, "--bits must be of 2, 3, 4, 5, 6, 8"),
        ("./model", "", 64, "--bits '' is no list of numbers"),
        ("./model", "four", 64, "--bits 'four' is no list of numbers"),
        ("./model", "4", 48, "--group-size one of 32, 64, 128"),
        ("./gone", "4", 64, "there is no model directory gone"),
        ("tutor", "4", 64, "no model 'tutor'"),
    ],
)
def test_what_makes_no_sense_is_refused_before_a_job_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, bits: str, group_size: int, said: str
) -> None:
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GatewayError) as caught:
        asyncio.run(quantize_model(model, bits=bits, group_size=group_size, out=tmp_path))
    assert said in caught.value.message
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
