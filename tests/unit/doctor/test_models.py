"""What is said of the models that would serve, and whether their engines fit."""

from pathlib import Path

import msgspec
import pytest

from gateway.contracts.deployments import GatePolicy
from gateway.contracts.variants import Variant
from gateway.doctor.finding import Finding, Health
from gateway.doctor.machine import Probe
from gateway.doctor.models import Served, examine_memory, examine_models
from gateway.doctor.tiny_model import write_tiny_model
from gateway.registry import Registry, read_registry
from gateway.settings import GIB, DeploymentSettings, MemorySettings, Settings
from tests.support.fleets import spec_of
from tests.support.scripted_model import write_scripted_model

LIMIT = MemorySettings(recommended_working_set_bytes=25 * GIB)
METAL = Probe(device="metal", chip="M", recommended_working_set_bytes=25 * GIB, mlx="1", mlx_lm="1")


def settings_for(tmp_path: Path, *sources: Path | str, memory: MemorySettings = LIMIT) -> Settings:
    deployments = tuple(DeploymentSettings(model=f"m{index}", source=str(it)) for index, it in enumerate(sources))
    return Settings(state_dir=str(tmp_path / "state"), deployments=deployments, memory=memory)


def served(tmp_path: Path, *weights_gib: float) -> list[Served]:
    return [
        Served(
            model=f"m{index}",
            engine=spec_of(
                write_scripted_model(
                    tmp_path / f"w{index}",
                    f"weights_bytes = {round(size * GIB)}\n# {index}\nkv_bytes_per_token = 100_000",
                )
            ),
        )
        for index, size in enumerate(weights_gib)
    ]


def memory_of(tmp_path: Path, *weights_gib: float, available_gib: float = 64) -> dict[str, Finding]:
    findings = examine_memory(
        settings_for(tmp_path),
        served(tmp_path, *weights_gib),
        METAL,
        available_bytes=round(available_gib * GIB),
        running=False,
    )
    return {finding.check: finding for finding in findings}


# --- files ---


@pytest.mark.anyio
async def test_a_model_whose_files_are_whole_is_ok_and_its_size_is_known(tmp_path: Path) -> None:
    findings, engines = await examine_models(settings_for(tmp_path, write_tiny_model(tmp_path / "tiny")), None)
    assert [(finding.check, finding.health) for finding in findings] == [("model m0", Health.OK)]
    assert engines[0].engine.weights_bytes == 820_480


@pytest.mark.anyio
async def test_a_model_without_a_template_is_a_warning(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny")
    (model / "chat_template.jinja").unlink()
    findings, _ = await examine_models(settings_for(tmp_path, model), None)
    assert (findings[1].check, findings[1].health) == ("chat template of m0", Health.WARNING)


@pytest.mark.anyio
async def test_a_truncated_file_is_a_failure_that_names_it(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny")
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    findings, engines = await examine_models(settings_for(tmp_path, model, tmp_path / "none"), None)
    assert [finding.health for finding in findings] == [Health.FAILURE, Health.FAILURE]
    assert "model.safetensors" in findings[0].detail
    assert engines == []


@pytest.mark.anyio
async def test_what_the_registry_serves_goes_before_the_configuration(tmp_path: Path) -> None:
    model = write_scripted_model(tmp_path / "one", "weights_bytes = 1000")
    state = tmp_path / "state"
    state.mkdir()
    registry = await Registry.open(state)
    view = await registry.add_variant(Variant(name="one", engine=spec_of(model)))
    await registry.create_deployment("m0", incumbent=view.digest, gate=GatePolicy(suite="smoke", profile="seed"))
    await registry.close()
    findings, engines = await examine_models(settings_for(tmp_path, tmp_path / "elsewhere"), read_registry(state))
    assert [(finding.check, finding.health) for finding in findings] == [("model m0", Health.OK)]
    assert engines[0].engine.path == str(model)
    write_scripted_model(model, "weights_bytes = 2000")
    findings, _ = await examine_models(settings_for(tmp_path), read_registry(state))
    assert (findings[0].health, "other weights" in findings[0].detail) == (Health.FAILURE, True)


@pytest.mark.anyio
async def test_a_repository_of_the_hub_is_not_fetched(tmp_path: Path) -> None:
    findings, engines = await examine_models(settings_for(tmp_path, "organisation/name"), None)
    assert (findings[0].health, engines) == (Health.NOT_CHECKED, [])


# --- memory ---


def test_one_production_model_fits_and_a_second_is_exchanged_in_turn(tmp_path: Path) -> None:
    found = memory_of(tmp_path, 19.5)
    assert found["memory of engines"].health is Health.OK
    assert "in turn" in found["memory of a candidate"].detail


def test_two_small_ones_fit_side_by_side(tmp_path: Path) -> None:
    assert "side by side" in memory_of(tmp_path, 4)["memory of a candidate"].detail


def test_two_models_that_do_not_fit_are_a_failure_with_the_arithmetic(tmp_path: Path) -> None:
    finding = memory_of(tmp_path, 19.5, 19.5)["memory of engines"]
    assert (finding.health, "over the limit of 25.00 GiB" in finding.detail) == (Health.FAILURE, True)


def test_near_the_limit_is_a_warning(tmp_path: Path) -> None:
    assert memory_of(tmp_path, 22)["memory of engines"].health is Health.WARNING


def test_memory_that_others_hold_is_a_warning(tmp_path: Path) -> None:
    assert memory_of(tmp_path, 19.5, available_gib=10)["memory that is free"].health is Health.WARNING


def test_a_limit_beyond_the_devices_is_a_warning(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, memory=MemorySettings(recommended_working_set_bytes=30 * GIB))
    finding = next(examine_memory(settings, [], METAL, available_bytes=0, running=False))
    assert (finding.check, finding.health) == ("memory limit", Health.WARNING)
    own = msgspec.structs.replace(settings, memory=MemorySettings())
    assert next(examine_memory(own, [], METAL, available_bytes=0, running=False)).detail.startswith("25.00 GiB")
