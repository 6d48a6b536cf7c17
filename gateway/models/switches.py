"""What of a model's chat template a person may switch, as far as its files tell."""

from collections.abc import Mapping
from pathlib import Path

from gateway.contracts.variants import EngineKind, Variant

THINKING = "enable_thinking"
_TEMPLATE_FILES = ("chat_template.jinja", "tokenizer_config.json")


def template_switches(variant: Variant) -> Mapping[str, bool | None]:
    """Return the switches that the variant's template knows, with what the variant sets them to. Blocks.

    Nothing declares a template's arguments; `enable_thinking` is the one that many families know by the same name.
    """
    said = {name: value for name, value in variant.prompt.template_arguments.items() if isinstance(value, bool)}
    if THINKING not in said and _knows_thinking(variant):
        return {THINKING: None, **said}
    return said


def _knows_thinking(variant: Variant) -> bool:
    if variant.engine.kind is EngineKind.SCRIPTED:
        return True
    files = (Path(variant.engine.path) / name for name in _TEMPLATE_FILES)
    return any(THINKING.encode() in file.read_bytes() for file in files if file.is_file())
