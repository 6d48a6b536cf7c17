"""What is said of a machine, from the answers that macOS gives and from the device's own."""

import platform
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from gateway.contracts.host import HostState
from gateway.doctor.finding import Finding, Health
from gateway.doctor.machine import MacSettings, Probe, examine_machine, mac_settings
from gateway.settings import GIB, EngineSettings
from tests.support.evaluations import make_host

PMSET = """System-wide power settings:
Currently in use:
 standby              1
 Sleep On Power Button 1
 hibernatefile        /var/vm/sleepimage
 disksleep            10
 sleep                {sleep} (sleep prevented by powerd)
 displaysleep         10
 lowpowermode         {low}
"""
METAL = Probe(device="metal", chip="Apple M3 Max", recommended_working_set_bytes=27 * GIB, mlx="1", mlx_lm="2")
MAC = make_host(
    os_version="macOS 15.5", memory_bytes=36 * GIB, state=HostState(power_source="AC Power", thermal_state="nominal")
)
AWAKE = MacSettings(wired_limit_mb=0, sleep_min=0)


@pytest.fixture(autouse=True)
def arm64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "arm64")


def found(findings: Iterable[Finding], check: str) -> Finding:
    return next(finding for finding in findings if finding.check == check)


def examined(host: Any = MAC, probe: Probe | str = METAL, mac: MacSettings | None = AWAKE) -> list[Finding]:
    return list(examine_machine(host, probe, mac, EngineSettings(blas="none")))


def test_a_mac_that_is_as_it_should_be_has_no_remedy_but_the_systems_files() -> None:
    bad = [
        it
        for it in examined()
        if it.health in {Health.WARNING, Health.FAILURE} and it.check not in {"blas", "open files"}
    ]
    assert bad == []


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (PMSET.format(sleep=1, low=1), MacSettings(wired_limit_mb=30000, sleep_min=1, low_power=True)),
        (PMSET.format(sleep=0, low=0), MacSettings(wired_limit_mb=30000, sleep_min=0)),
        (" powermode 1\n sleep 5\n", MacSettings(wired_limit_mb=30000, sleep_min=5, low_power=True)),
        ("", MacSettings(wired_limit_mb=30000)),
    ],
    ids=["sleeps", "awake", "a newer system", "silent"],
)
def test_what_pmset_and_sysctl_say_is_read(said: str, expected: MacSettings) -> None:
    assert mac_settings(said, "30000\n") == expected


def test_a_limit_that_sysctl_does_not_know_is_none() -> None:
    assert mac_settings("", "sysctl: unknown oid 'iogpu.wired_limit_mb'\n").wired_limit_mb is None


@pytest.mark.parametrize(
    ("change", "check", "health"),
    [
        ({"host": msgspec.structs.replace(MAC, os_version="macOS 13.6")}, "machine", Health.FAILURE),
        ({"host": msgspec.structs.replace(MAC, os_version="macOS 14.5")}, "machine", Health.WARNING),
        ({"probe": "MLX is not installed"}, "mlx", Health.FAILURE),
        ({"probe": msgspec.structs.replace(METAL, device="cpu")}, "metal", Health.FAILURE),
        ({"probe": msgspec.structs.replace(METAL, device="cpu"), "mac": None}, "metal", Health.WARNING),
        ({"mac": msgspec.structs.replace(AWAKE, wired_limit_mb=35000)}, "wired limit", Health.WARNING),
        ({"mac": msgspec.structs.replace(AWAKE, wired_limit_mb=30000)}, "wired limit", Health.OK),
        ({"mac": None}, "wired limit", Health.NOT_CHECKED),
        ({"mac": msgspec.structs.replace(AWAKE, sleep_min=10)}, "sleep", Health.WARNING),
        ({"mac": msgspec.structs.replace(AWAKE, low_power=True)}, "power", Health.WARNING),
        ({"host": make_host(state=HostState(power_source="Battery Power"))}, "power", Health.WARNING),
        ({"host": make_host(state=HostState(thermal_state="thermal warning level 2"))}, "heat", Health.WARNING),
        ({"host": make_host(state=HostState(swap_used_bytes=3 * GIB))}, "swap", Health.WARNING),
    ],
)
def test_what_slows_a_server_or_stops_it_is_told_with_its_remedy(
    change: dict[str, Any], check: str, health: Health
) -> None:
    finding = found(examined(**change), check)
    assert finding.health is health
    assert bool(finding.remedy) is (health in {Health.WARNING, Health.FAILURE})


def test_a_python_under_rosetta_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    finding = found(examined(), "machine")
    assert (finding.health, "arm64" in finding.remedy) == (Health.FAILURE, True)


def test_a_library_that_does_not_exist_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.doctor.machine.sys.platform", "linux")
    findings = examine_machine(MAC, METAL, None, EngineSettings(blas="/nowhere/libblas.so"))
    assert found(findings, "blas").health is Health.FAILURE
