"""A configured deployment may say all that a registration over HTTP may."""

from pathlib import Path

import msgspec

from gateway.bootstrap import registration_of
from gateway.contracts.variants import EngineOptions
from gateway.settings import load_settings


def test_every_engine_option_reaches_the_registration(tmp_path: Path) -> None:
    options = {"adapter": "./lora", "draft": "/models/small", "kv_bits": 4, "kv_group_size": 32}
    assert set(options) == {field.name for field in msgspec.structs.fields(EngineOptions)}
    config = tmp_path / "gateway.toml"
    config.write_text(
        '[[deployments]]\nsource = "./m"\nadapter = "./lora"\ndraft = "/models/small"\n'
        "kv_bits = 4\nkv_group_size = 32\n"
    )
    (deployment,) = load_settings(config, environ={}, flags={}).settings.deployments
    registration = registration_of(deployment)
    assert registration.source == "./m"
    assert {name: getattr(registration, name) for name in options} == options
