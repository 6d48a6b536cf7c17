"""What is read of the answers that macOS gives, and what makes two machines the same."""

from pathlib import Path

import msgspec
import pytest

from gateway.host import power_source, read_host, thermal_state
from tests.support.evaluations import make_host

LAPTOP = "Now drawing from 'AC Power'\n -InternalBattery-0 (id=22806627)\t100%; charged; 0:00 remaining present: true\n"
UNPLUGGED = "Now drawing from 'Battery Power'\n -InternalBattery-0 (id=22806627)\t34%; discharging; 5:58 remaining\n"
DESKTOP = "Now drawing from 'AC Power'\n"
COOL = (
    "Note: No thermal warning level has been recorded\n"
    "Note: No performance warning level has been recorded\n"
    "Note: No CPU power status has been recorded\n"
)
SLOWED = (
    "Note: No thermal warning level has been recorded\n"
    "2026-08-31 20:01:34 +0200 CPU Power notify\n"
    "\tCPU_Scheduler_Limit \t= 100\n\tCPU_Available_CPUs \t= 8\n\tCPU_Speed_Limit \t= 46\n"
)
UNSLOWED = SLOWED.replace("46", "100")
WARNED = "Thermal warning level = 2\nNote: No performance warning level has been recorded\n"


@pytest.mark.parametrize(
    ("said", "source"),
    [(LAPTOP, "AC Power"), (UNPLUGGED, "Battery Power"), (DESKTOP, "AC Power"), ("", None), ("No such thing", None)],
    ids=["laptop", "unplugged", "desktop", "nothing", "another thing"],
)
def test_the_power_source_is_the_one_that_is_drawn_from(said: str, source: str | None) -> None:
    assert power_source(said) == source


@pytest.mark.parametrize(
    ("said", "state"),
    [
        (COOL, "nominal"),
        (UNSLOWED, "nominal"),
        (SLOWED, "CPU_Speed_Limit 46"),
        (WARNED, "thermal warning level 2"),
        ("", None),
        ("Error: not permitted", None),
    ],
    ids=["cool", "not slowed", "slowed", "warned", "nothing", "an error"],
)
def test_the_thermal_state_is_nominal_only_where_the_system_says_so(said: str, state: str | None) -> None:
    assert thermal_state(said) == state


@pytest.mark.anyio
async def test_this_machine_is_described() -> None:
    host = await read_host(123)
    assert (host.limit_bytes, host.memory_bytes > 0, bool(host.chip), bool(host.os_version)) == (123, True, True, True)
    assert msgspec.json.decode(msgspec.json.encode(host), type=type(host)) == host


@pytest.mark.anyio
async def test_macos_is_asked_by_its_own_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, said in (("sysctl", "Apple M3 Max"), ("pmset", "$(cat $0.$2)")):
        (tmp_path / name).write_text(f'#!/bin/sh\necho "{said}"\n')
        (tmp_path / name).chmod(0o755)
    (tmp_path / "pmset.batt").write_text(UNPLUGGED)
    (tmp_path / "pmset.therm").write_text(COOL)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr("gateway.host.sys.platform", "darwin")
    monkeypatch.setattr("gateway.host.platform.mac_ver", lambda: ("15.5", ("", "", ""), "arm64"))
    host = await read_host(1)
    assert (host.chip, host.os_version) == ("Apple M3 Max", "macOS 15.5")
    assert (host.state.power_source, host.state.thermal_state) == ("Battery Power", "nominal")
    (tmp_path / "pmset").write_text("#!/bin/sh\nexit 1\n")
    assert (await read_host(1)).state.power_source is None


@pytest.mark.parametrize(
    ("change", "is_same"),
    [
        ({"os_version": "macOS 15.6.1"}, True),
        ({"os_version": "macOS 16.0"}, False),
        ({"chip": "another"}, False),
        ({"memory_bytes": 1}, False),
        ({"limit_bytes": 1}, False),
    ],
    ids=["minor version", "major version", "chip", "memory", "limit"],
)
def test_two_machines_are_the_same_where_times_and_memory_are(change: dict[str, object], is_same: bool) -> None:
    assert (make_host(**change).digest == make_host().digest) is is_same


def test_what_changes_by_itself_is_no_part_of_a_machines_digest() -> None:
    host = make_host()
    hot = msgspec.structs.replace(host.state, thermal_state="hot", power_source="Battery Power", swap_used_bytes=9)
    assert make_host(state=hot).digest == host.digest
