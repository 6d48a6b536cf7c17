"""Variants are found by what people call them, and are what their digest says."""

from typing import Any

import msgspec
import pytest

from gateway.contracts.digests import digest_of
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.variants import SamplingDefaults, Variant
from gateway.errors import NotFound
from gateway.registry import Registry
from gateway.registry.database import Database
from tests.support.evaluations import make_variant

pytestmark = pytest.mark.anyio


def build(name: str, content: str) -> Variant:
    variant = make_variant(name)
    return msgspec.structs.replace(variant, engine=msgspec.structs.replace(variant.engine, weights_digest=content))


async def test_a_variant_is_found_by_every_form_of_reference(registry: Registry) -> None:
    added = await registry.add_variant(build("tutor", "a"))
    digest = added.digest
    for reference in ("tutor", f"tutor@{digest[:8]}", added.reference, f"tutor@{digest}", digest, digest[:8]):
        assert await registry.variant(reference) == added


async def test_a_name_means_its_latest_content(registry: Registry) -> None:
    old = await registry.add_variant(build("tutor", "a"))
    new = await registry.add_variant(build("tutor", "b"))
    assert (await registry.variant("tutor")).digest == new.digest
    assert (await registry.variant(old.reference)).digest == old.digest


async def test_registering_the_same_again_changes_only_where_it_lies(registry: Registry) -> None:
    first = await registry.add_variant(build("tutor", "a"))
    await registry.add_variant(build("tutor", "b"))
    variant = first.variant
    moved = msgspec.structs.replace(variant, engine=msgspec.structs.replace(variant.engine, path="/elsewhere"))
    again = await registry.add_variant(moved)
    assert (again.digest, again.created_at) == (first.digest, first.created_at)
    assert again.variant.engine.path == "/elsewhere"
    assert len(await registry.variants()) == 2
    assert (await registry.variant("tutor")).digest != first.digest


async def test_one_content_may_have_several_names(registry: Registry) -> None:
    first = await registry.add_variant(build("one", "a"))
    second = await registry.add_variant(build("two", "a"))
    assert first.digest == second.digest
    assert (await registry.variant("two")).reference == second.reference
    assert (await registry.variant(first.digest)).reference == first.reference
    with pytest.raises(NotFound):
        await registry.variant(f"three@{first.digest}")


async def test_the_digest_tells_variants_of_one_engine_apart(registry: Registry) -> None:
    plain = build("tutor", "a")
    cool = msgspec.structs.replace(plain, sampling=SamplingDefaults(temperature=0.2))
    strict = msgspec.structs.replace(plain, sampling=SamplingDefaults(top_k=20))
    assert len({(await registry.add_variant(variant)).digest for variant in (plain, cool, strict)}) == 3


def test_a_digest_from_before_an_option_existed_stays_what_it_was() -> None:
    variant = build("tutor", "a")
    parts = {
        "engine": variant.engine.digest,
        "prompt": variant.prompt,
        "sampling": {"temperature": 1.0, "top_p": 1.0},
        "limits": variant.limits,
    }
    assert variant.digest == digest_of(parts)


@pytest.mark.parametrize("reference", ["nobody", "nobody@0123456789ab", "0123456789ab", "", "a b", "*", "tutor@", "%"])
async def test_an_unknown_reference_is_not_found(registry: Registry, reference: str) -> None:
    await registry.add_variant(build("tutor", "a"))
    with pytest.raises(NotFound) as raised:
        await registry.variant(reference)
    assert raised.value.code is ErrorCode.VARIANT_NOT_FOUND
    assert repr(reference) in raised.value.message


async def test_digits_that_fit_several_say_so(registry: Registry, database: Database) -> None:
    # Two digests with eight equal leading digits cannot be made; two rows that say they have them can.
    added = await registry.add_variant(build("tutor", "a"))
    twin = added.digest[:8] + "0" * 56

    def plant(connection: Any) -> None:
        content = msgspec.json.encode(build("twin", "b"))
        connection.execute("INSERT INTO variants VALUES (?, ?, '')", (twin, content))
        connection.execute("INSERT INTO variant_names (name, digest, created_at) VALUES ('twin', ?, '')", (twin,))

    await database.transact(plant)
    with pytest.raises(NotFound, match=r"fits several variants .*give more digits"):
        await registry.variant(added.digest[:8])
    assert (await registry.variant(f"tutor@{added.digest[:8]}")).digest == added.digest
