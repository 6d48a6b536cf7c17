"""A digest is worked out once, and is never another Variant's."""

import msgspec

from gateway.contracts.variants import EngineKind, EngineSpec, Variant

ENGINE = EngineSpec(
    kind=EngineKind.SCRIPTED,
    path="/models/tutor",
    weights_digest="a" * 64,
    quantization=None,
    context_length=8192,
    max_rows=4,
    weights_bytes=1,
    kv_bytes_per_token=1,
    disk_bytes=1,
)
VARIANT = Variant(name="tutor", engine=ENGINE)


def test_a_changed_copy_has_a_digest_of_its_own_though_the_first_was_asked_for_its() -> None:
    before = VARIANT.digest
    longer = msgspec.structs.replace(VARIANT, engine=msgspec.structs.replace(ENGINE, context_length=4096))
    renamed = msgspec.structs.replace(VARIANT, name="other")
    assert longer.digest != before
    assert renamed.digest == before == VARIANT.digest
    assert renamed.reference != VARIANT.reference


def test_a_digest_that_was_asked_for_is_no_part_of_what_is_written_or_compared() -> None:
    asked = msgspec.structs.replace(VARIANT, name="tutor")
    written = msgspec.json.encode(asked)
    digest = asked.digest
    assert msgspec.json.encode(asked) == written
    again = msgspec.json.decode(written, type=Variant)
    assert again == asked
    assert again.digest == digest
