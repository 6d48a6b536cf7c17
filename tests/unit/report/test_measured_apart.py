"""What the report says of times and memory that were measured apart, of the host, and of what is not established."""

import msgspec
import pytest

from canary.judge import judge
from canary.report import render_markdown
from gateway.contracts.evaluations import Evaluation
from gateway.contracts.host import Host, HostRecord
from gateway.contracts.memory import MemoryRecord
from tests.support.evaluations import make_host
from tests.support.judged_runs import judged
from tests.support.timed_blocks import abba, with_blocks
from tests.unit.judge.test_memory import SOUND


def timed(*, batch_rows: float | None = 1.0, production_requests: int = 0) -> Evaluation:
    plain = judged({"old": [1.0] * 24, "new": [1.0] * 24})
    return with_judgements(
        with_blocks(plain, abba(12, slower=1.5, batch_rows=batch_rows, production_requests=production_requests))
    )


def with_judgements(evaluation: Evaluation) -> Evaluation:
    return msgspec.structs.replace(evaluation, judgements=judge(evaluation))


def with_memory(*records: MemoryRecord) -> Evaluation:
    return with_judgements(msgspec.structs.replace(judged({"old": [1.0] * 24, "new": [1.0] * 24}), memory=records))


def on(start: Host, end: Host, kept_awake_by: str | None = "caffeinate") -> Evaluation:
    evaluation = judged({"old": [1.0] * 24, "new": [1.0] * 24})
    host = HostRecord(start=start, end=end, kept_awake_by=kept_awake_by)
    return msgspec.structs.replace(evaluation, environment=msgspec.structs.replace(evaluation.environment, host=host))


def row_of(report: str, start: str) -> str:
    return next(" ".join(line.split()) for line in report.splitlines() if line.startswith(f"| {start}"))


def test_ratios_stand_with_their_bounds_pairs_and_rows() -> None:
    report = render_markdown(timed())
    assert "## Latency: new" in report
    row = row_of(report[report.index("## Latency") :], "End to end ")
    assert "1.500" in row
    assert "24 in 12 cycles" in row
    assert "1.0 and 1.0" in row
    assert "prefix cache off for both" in report
    assert "Times hold for this machine, with one request at a time, and for answers of 11 tokens" in report
    assert "one request at a time, and whatever else ran" not in report


def test_bounds_are_those_of_the_look_that_settled_the_times() -> None:
    plain = judged({"old": [1.0] * 24, "new": [1.0] * 24})
    early, whole = (
        render_markdown(with_judgements(with_blocks(plain, abba(n, slower=1.5), cycles=12))) for n in (5, 12)
    )
    assert "10 in 5 cycles" in early
    assert "missed 1 time in 400" in early
    assert "missed 1 time in 25." in whole


def test_why_nothing_follows_from_a_ratio_is_said_below_it() -> None:
    assert "nothing follows from the ratios: 3 production requests ran in one block" in render_markdown(
        timed(production_requests=3)
    )


def test_rows_that_no_engine_tells_are_unknown() -> None:
    report = render_markdown(timed(batch_rows=None))
    assert "1.0 and unknown" in report
    assert "not known of all blocks" in report


def test_a_run_that_timed_nothing_says_so() -> None:
    report = render_markdown(with_judgements(with_blocks(judged({"old": [1.0] * 24, "new": [1.0] * 24}), ())))
    assert "No time was measured" in report
    assert "## Latency" not in report


def test_memory_is_a_table_in_bytes_and_gib_with_what_was_predicted() -> None:
    report = render_markdown(with_memory(SOUND))
    assert "0.137 GiB (146,800,640 bytes)" in row_of(report, "Peak at the declared context")
    assert "not measured" in row_of(report, "Peak at the declared context")
    assert "35%" in row_of(report, "Peak, as a share of the limit")
    assert "10,486 bytes a token" in row_of(report, "Slope")
    assert "Predicted: and 4,000 tokens of context" in report
    assert "3.00s" in row_of(report, "Load time, cold")
    assert "Peak memory is of one request of 4,000 tokens" in report
    assert "Memory is of the weights after load" not in report


def test_readings_that_ended_early_or_beside_production_are_said() -> None:
    record = msgspec.structs.replace(SOUND, problem="memory_pressure: no room", production_requests=2)
    report = render_markdown(with_memory(record))
    assert "the readings ended early (memory\\_pressure: no room)" in report or "memory_pressure: no room" in report
    assert "2 production requests ran meanwhile" in report


def test_a_machine_that_does_not_tell_its_swap_is_said() -> None:
    record = msgspec.structs.replace(SOUND, swap_before_bytes=None)
    assert "Whether swap grew is not known" in render_markdown(with_memory(record))


def test_the_host_is_named_with_its_power_and_what_kept_it_awake() -> None:
    report = render_markdown(on(make_host(), make_host()))
    assert "power AC Power, thermal state nominal; kept awake by caffeinate" in report
    assert "changed" not in report


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"power_source": "Battery Power"}, "The power source changed from AC Power to Battery Power"),
        ({"thermal_state": "hot"}, "The thermal state changed from nominal to hot"),
        ({"thermal_state": None}, "The thermal state changed from nominal to unknown"),
    ],
)
def test_what_changed_during_the_run_is_said(change: dict[str, str | None], said: str) -> None:
    end = make_host(state=msgspec.structs.replace(make_host().state, **change))
    assert said in render_markdown(on(make_host(), end))


def test_a_run_that_nothing_kept_awake_says_so() -> None:
    assert "Nothing kept the machine from sleeping" in render_markdown(on(make_host(), make_host(), None))
