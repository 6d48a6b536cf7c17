"""Builds in child processes of their own: cached, one at a time, and nothing half-built is left of one that ends."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import msgspec
import psutil
import pytest

from gateway.builds import Builds
from gateway.contracts.builds import (
    Bits,
    BuildKind,
    BuildRequest,
    BuildState,
    BuildView,
    Training,
    TrainingExample,
    TrainingMessage,
)
from gateway.contracts.variants import EngineOptions, Variant
from gateway.errors import InvalidRequest, MemoryPressure, NotFound, NotReady
from gateway.models import read_model_directory, with_options
from tests.support.models import JOB_TIMEOUT_S
from tests.support.served import NoCache
from tests.support.tiny_llama import write_adapter, write_model

pytestmark = [pytest.mark.anyio, pytest.mark.model]

_WIDTHS: tuple[Bits, ...] = (4, 8)
EXAMPLE = TrainingExample(messages=(TrainingMessage(role="user", content="Say it."),), answer="one two three")
LONG_TRAINING = BuildRequest(kind=BuildKind.TRAIN, training=Training(examples=(EXAMPLE,), steps=2000, limit_s=3600.0))
"""Ends by itself only after the test's time."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("tiny") / "tiny")


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_adapter(tmp_path_factory.mktemp("adapter") / "adapter")


async def _no_variant(_: str) -> Variant | None:
    return None


def _builds(state_dir: Path, *, limit_bytes: int = 2**40) -> Builds:
    def check_room(needed_bytes: int) -> None:
        if needed_bytes > limit_bytes:
            raise MemoryPressure(f"{needed_bytes} are over {limit_bytes}")

    return Builds(state_dir, digest_cache=NoCache(), known=_no_variant, check_room=check_room)


@pytest.fixture
async def builds(tmp_path: Path) -> AsyncGenerator[Builds]:
    builds = _builds(tmp_path)
    yield builds
    await builds.close()


def _of(request: BuildRequest, model: Path) -> BuildRequest:
    return BuildRequest(kind=request.kind, model=str(model), training=request.training)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a job, whose imports take seconds on a quiet machine."""
    async with asyncio.timeout(JOB_TIMEOUT_S):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.02)


async def _ended(builds: Builds, view: BuildView) -> BuildView:
    await until(lambda: builds.show(view.id).state is not BuildState.RUNNING)
    return builds.show(view.id)


def _left(state_dir: Path) -> list[str]:
    """Return what lies where builds are made."""
    return sorted(path.name for path in (state_dir / "models" / "builds").glob("*"))


async def test_a_fuse_with_bits_has_its_float_source_beside_it_and_is_there_at_once_the_second_time(
    builds: Builds, model: Path, adapter: Path, tmp_path: Path
) -> None:
    order = BuildRequest(kind=BuildKind.FUSE, model=str(model), adapter=str(adapter), bits=8)
    begun = await builds.start(order)
    assert (begun.state, begun.cached) == (BuildState.RUNNING, False)
    assert (await builds.start(order)).id == begun.id
    done = await _ended(builds, begun)
    assert done.state is BuildState.DONE, done.message
    provenance = done.provenance
    assert provenance is not None
    assert provenance.reference is not None
    assert provenance.base == str(model)
    assert (provenance.bits, provenance.group_size, provenance.dequantised_base) == (8, 64, False)
    source = next(view for view in builds.list() if view.path == provenance.reference)
    assert source.provenance is not None
    assert (source.provenance.bits, source.provenance.adapter) == (None, str(adapter))
    assert _left(tmp_path) == sorted([done.id, source.id])
    # Also by another gateway on this state directory.
    again = await _builds(tmp_path).start(order)
    assert (again.state, again.cached, again.path) == (BuildState.DONE, True, done.path)


async def test_other_contents_or_settings_are_another_build(builds: Builds, model: Path, tmp_path: Path) -> None:
    names: set[str] = set()
    other = write_model(tmp_path / "other" / "tiny", seed=1)
    four, eight = (BuildRequest(kind=BuildKind.QUANTISE, model=str(model), bits=bits) for bits in _WIDTHS)
    for order in (four, eight, BuildRequest(kind=BuildKind.QUANTISE, model=str(other), bits=4)):
        view = await builds.start(order)
        names.add(view.id)
        await builds.cancel(view.id)
    assert len(names) == 3


async def test_a_second_order_is_told_to_wait_and_a_cancelled_build_leaves_nothing(
    builds: Builds, model: Path, tmp_path: Path
) -> None:
    order = _of(LONG_TRAINING, model)
    view = await builds.start(order)
    await until(lambda: "step" in builds.show(view.id).message)
    assert 0 < builds.show(view.id).progress < 1
    assert order.training is not None
    patient = msgspec.structs.replace(order.training, limit_s=60.0)
    assert (await builds.start(msgspec.structs.replace(order, training=patient))).id == view.id
    with pytest.raises(NotReady, match="one build runs at a time"):
        await builds.start(BuildRequest(kind=BuildKind.QUANTISE, model=str(model), bits=4))
    assert (await builds.cancel(view.id)).state is BuildState.CANCELLED
    assert _left(tmp_path) == []
    assert not any("gateway.engine.build" in child.cmdline() for child in psutil.Process().children())
    with pytest.raises(InvalidRequest, match="nothing to cancel"):
        await builds.cancel(view.id)


async def test_a_job_that_is_killed_has_failed_and_leaves_nothing_under_its_name(
    builds: Builds, model: Path, tmp_path: Path
) -> None:
    view = await builds.start(_of(LONG_TRAINING, model))
    await until(lambda: "step" in builds.show(view.id).message)
    (job,) = (child for child in psutil.Process().children() if "gateway.engine.build" in child.cmdline())
    os.kill(job.pid, signal.SIGKILL)
    ended = await _ended(builds, view)
    assert ended.state is BuildState.FAILED
    assert "ended without a result" in ended.message
    assert _left(tmp_path) == []


async def test_a_failed_build_may_be_ordered_again(builds: Builds, model: Path, tmp_path: Path) -> None:
    foreign = write_adapter(tmp_path / "foreign", hidden_size=128)
    order = BuildRequest(kind=BuildKind.FUSE, model=str(model), adapter=str(foreign))
    ended = await _ended(builds, await builds.start(order))
    assert ended.state is BuildState.FAILED
    assert "does not fit the model" in ended.message
    assert _left(tmp_path) == []
    assert (await builds.start(order)).state is BuildState.RUNNING


@pytest.mark.parametrize(
    ("fields", "param", "said"),
    [
        ({"kind": BuildKind.QUANTISE}, "bits", "`bits` is needed"),
        ({"kind": BuildKind.FUSE}, "adapter", "`adapter` is needed"),
        ({"kind": BuildKind.DROPPED_ADAPTER}, "adapter", "`adapter` is needed"),
        ({"kind": BuildKind.QUANTISE, "bits": 4, "adapter": "/a"}, "adapter", "order `fuse` with `bits`"),
        ({"kind": BuildKind.TRAIN}, "training", "is needed to train"),
        ({"kind": BuildKind.SHUFFLED_LAYER, "training": LONG_TRAINING.training}, "training", "leave it out"),
        ({"kind": BuildKind.TRAIN, "training": LONG_TRAINING.training, "bits": 4}, "bits", "leave it out"),
        (
            {"kind": BuildKind.QUANTISE, "bits": 4, "model": "/no/model"},
            "model",
            "there is no model directory /no/model",
        ),
        ({"kind": BuildKind.QUANTISE, "bits": 4, "model": "./here"}, "model", "make it absolute"),
        ({"kind": BuildKind.QUANTISE, "bits": 4, "model": "some/repository"}, "model", "register it first"),
        ({"kind": BuildKind.FUSE, "adapter": "/no/adapter"}, "adapter", "no adapter"),
        ({"kind": BuildKind.FUSE, "adapter": "here"}, "adapter", "make it absolute"),
    ],
)
async def test_an_order_that_makes_no_sense_names_its_field(
    builds: Builds, model: Path, fields: dict[str, object], param: str, said: str
) -> None:
    with pytest.raises(InvalidRequest, match=said) as caught:
        await builds.start(BuildRequest(**{"model": str(model), **fields}))  # pyright: ignore[reportArgumentType] - any
    assert caught.value.param == param


async def test_a_variant_with_an_adapter_beside_it_is_not_built_from_without_it(
    model: Path, adapter: Path, tmp_path: Path
) -> None:
    variant = read_model_directory(model, max_rows=1, digest_cache=NoCache(), on_progress=lambda _share, _what: None)
    engine = with_options(
        variant.engine,
        EngineOptions(adapter=str(adapter)),
        relative_allowed=False,
        digest_cache=NoCache(),
        on_progress=lambda _share, _what: None,
    )
    adapted = Variant(name="tuned", engine=engine)

    async def known(_: str) -> Variant | None:
        return adapted

    builds = Builds(tmp_path, digest_cache=NoCache(), known=known, check_room=lambda _: None)
    with pytest.raises(InvalidRequest, match="which a build of it would lose"):
        await builds.start(BuildRequest(kind=BuildKind.QUANTISE, model="tuned", bits=4))


async def test_a_build_that_does_not_fit_the_memory_is_refused(model: Path, tmp_path: Path) -> None:
    builds = _builds(tmp_path, limit_bytes=1000)
    with pytest.raises(MemoryPressure):
        await builds.start(BuildRequest(kind=BuildKind.QUANTISE, model=str(model), bits=4))
    assert builds.list() == ()


async def test_a_build_that_nobody_ordered_is_not_found(builds: Builds) -> None:
    with pytest.raises(NotFound):
        builds.show("nothing")
    with pytest.raises(NotFound):
        await builds.cancel("nothing")


async def test_a_gateway_that_ends_ends_its_build(model: Path, tmp_path: Path) -> None:
    builds = _builds(tmp_path)
    view = await builds.start(_of(LONG_TRAINING, model))
    async with asyncio.timeout(30):
        await builds.close()
    assert builds.show(view.id).state is BuildState.CANCELLED
    assert _left(tmp_path) == []
