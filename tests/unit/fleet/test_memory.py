"""The machine's memory as settings and devices give it."""

import pytest

from gateway.contracts.admin import EngineMemory
from gateway.contracts.variants import EngineKind, EngineSpec, Quantization
from gateway.errors import MemoryPressure
from gateway.fleet.memory import MachineMemory
from gateway.settings import EngineSettings, MemorySettings, Settings
from gateway.wire import Ready

GIB = 1024**3
PRODUCTION = EngineSpec(
    kind=EngineKind.MLX,
    path="/models/production",
    weights_digest="d",
    quantization=Quantization(bits=5, group_size=64),
    context_length=40_960,
    max_rows=16,
    weights_bytes=round(19.55 * GIB),
    kv_bytes_per_token=96 * 1024,
    disk_bytes=round(19.55 * GIB),
)


def ready(*, recommended_bytes: int | None, active_bytes: int = 0) -> Ready:
    return Ready(
        device="metal",
        dequantised=False,
        load_time_s=1.0,
        active_after_load_bytes=active_bytes,
        context_length=40_960,
        recommended_working_set_bytes=recommended_bytes,
        chip="m",
    )


@pytest.fixture
def metal(monkeypatch: pytest.MonkeyPatch) -> MachineMemory:
    """The memory of a Mac of 36 GB with default settings, once an engine has told what Metal recommends."""
    monkeypatch.setattr("sys.platform", "darwin")
    memory = MachineMemory(Settings(state_dir="/state"))
    memory.note_ready(ready(recommended_bytes=round(25.559e9)))
    return memory


def test_by_default_the_production_model_fits_a_mac_of_36_gb_and_a_second_one_does_not(metal: MachineMemory) -> None:
    metal.check_load(PRODUCTION, [])
    with pytest.raises(MemoryPressure, match=r"over the limit of 23\.80 GiB"):
        metal.check_load(PRODUCTION, [metal.holding(PRODUCTION, None)])


def test_an_engines_parts_never_come_to_more_than_the_machine_has(metal: MachineMemory) -> None:
    share, holding = metal.share(PRODUCTION), metal.holding(PRODUCTION, None)
    assert 0 < share.prefix_cache_bytes < GIB
    longest = metal.longest_row_tokens(PRODUCTION, None)
    assert longest >= 8192
    assert metal.refusal(PRODUCTION, None, longest) is None
    assert metal.refusal(PRODUCTION, None, longest + 1) is not None
    assert holding.fixed_bytes + 2 * longest * 96 * 1024 <= share.memory_limit_bytes < round(25.559e9)


def test_weights_that_take_more_than_their_files_say_are_counted_as_measured(metal: MachineMemory) -> None:
    measured = ready(recommended_bytes=None, active_bytes=PRODUCTION.weights_bytes + GIB)
    more = metal.holding(PRODUCTION, measured).fixed_bytes - metal.holding(PRODUCTION, None).fixed_bytes
    assert more == GIB


def test_a_device_that_says_nothing_changes_nothing_and_a_setting_wins(metal: MachineMemory) -> None:
    metal.note_ready(ready(recommended_bytes=None))
    assert metal.machine.limit_bytes == round(25.559e9)
    told = MachineMemory(Settings(state_dir="/s", memory=MemorySettings(recommended_working_set_bytes=9 * GIB)))
    told.note_ready(ready(recommended_bytes=5 * GIB))
    assert told.machine.limit_bytes == 9 * GIB


def test_without_metal_weights_and_cache_count_as_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    memory = MachineMemory(Settings(state_dir="/s", engine=EngineSettings(prefix_cache_bytes=0)))
    assert memory.holding(PRODUCTION, None).fixed_bytes == round(PRODUCTION.weights_bytes * 32 / 5.5)
    assert memory.kv_bytes_per_token(PRODUCTION) == 2 * 96 * 1024


def test_an_engine_that_is_gone_uses_nothing(metal: MachineMemory) -> None:
    metal.observe(PRODUCTION.digest, EngineMemory(active_bytes=22 * GIB))
    assert metal.near_limit
    metal.forget(PRODUCTION.digest)
    metal.observe(PRODUCTION.digest, EngineMemory(active_bytes=GIB))
    assert not metal.near_limit
