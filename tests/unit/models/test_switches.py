"""A template's switches are what its files know and what the variant sets."""

import json
from pathlib import Path

import pytest

from gateway.contracts.variants import EngineKind, EngineSpec, PromptSpec, Variant
from gateway.models.switches import template_switches


def _variant(path: Path, *, kind: EngineKind = EngineKind.MLX, prompt: PromptSpec | None = None) -> Variant:
    engine = EngineSpec(
        kind=kind,
        path=str(path),
        weights_digest="0" * 64,
        quantization=None,
        context_length=100,
        max_rows=1,
        weights_bytes=1,
        kv_bytes_per_token=1,
        disk_bytes=1,
    )
    return Variant(name="any", engine=engine, prompt=prompt or PromptSpec())


@pytest.mark.parametrize("file", ["chat_template.jinja", "tokenizer_config.json"])
def test_a_template_that_reads_the_switch_offers_it(tmp_path: Path, file: str) -> None:
    template = "{% if enable_thinking %}<think>{% endif %}"
    content = template if file.endswith(".jinja") else json.dumps({"chat_template": template})
    (tmp_path / file).write_text(content)
    assert template_switches(_variant(tmp_path)) == {"enable_thinking": None}


def test_a_template_that_does_not_know_it_offers_nothing(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_text("{{ messages }}")
    assert template_switches(_variant(tmp_path)) == {}


def test_files_that_are_gone_offer_nothing(tmp_path: Path) -> None:
    assert template_switches(_variant(tmp_path / "archived")) == {}


def test_what_the_variant_sets_is_told(tmp_path: Path) -> None:
    prompt = PromptSpec(template_arguments={"enable_thinking": False, "preserve": True, "effort": "high"})
    assert template_switches(_variant(tmp_path, prompt=prompt)) == {"enable_thinking": False, "preserve": True}


def test_a_scripted_model_knows_thinking(tmp_path: Path) -> None:
    assert "enable_thinking" in template_switches(_variant(tmp_path, kind=EngineKind.SCRIPTED))
