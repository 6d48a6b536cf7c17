"""What the phases make of answers that a healthy gateway never gives, and the order in which they ask."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import msgspec
import pytest

from canary.client import GatewayClient
from canary.phases.asking import production_between
from canary.phases.latency import choose_cases, measure_latency, planned_latency
from canary.phases.memory import forget_files, measure_memory
from canary.suite import Suite, load_suite
from gateway.contracts.admin import EngineView, EngineWork
from gateway.contracts.evaluations import Evaluation, Role, System, Trial
from gateway.contracts.latency import LatencyRecord
from gateway.contracts.memory import MemoryRecord
from gateway.contracts.scheduling import SchedulingClass
from tests.support.evaluations import make_evaluation, make_system, make_trial, serving_one_at_a_time
from tests.support.fake_gateway import FakeGateway, error_response, stream_response, whole_answer
from tests.support.mini_suite import write_mini_suite

SYSTEMS = (make_system("incumbent", Role.INCUMBENT), make_system("good"))
CRASH = error_response(500, "engine_crashed", "gone")


def mini_suite(parent: Path, protocol: str, *, profile: str = "seed") -> Suite:
    directory = write_mini_suite(parent)
    manifest = directory / "suite.toml"
    manifest.write_text(manifest.read_text().replace('"seed"', f'"{profile}"') + protocol)
    return load_suite("mini", search_path=[parent])


def trials(suite: Suite, lengths: Callable[[int, System], int], systems: Sequence[System] = SYSTEMS) -> list[Trial]:
    made = [
        (case, system, make_trial(2 * number + position, case.id, system, 1.0))
        for number, case in enumerate(suite.cases)
        for position, system in enumerate(systems)
    ]
    number_of = {case.id: number for number, case in enumerate(suite.cases)}
    return [
        msgspec.structs.replace(
            trial,
            result=msgspec.structs.replace(trial.result, completion_tokens=lengths(number_of[case.id], system)),
        )
        for case, system, trial in made
    ]


def noted(_: str) -> None: ...


def brought(_: int) -> None: ...


# --- latency ---


@pytest.mark.parametrize(
    ("profile", "protocol", "is_timed"),
    [("seed", "", False), ("full", "", True), ("quick", "", True), ("seed", "[protocol.latency]\n", True)],
)
def test_times_are_taken_apart_where_the_profile_or_the_protocol_says_so(
    tmp_path: Path, profile: str, protocol: str, is_timed: bool
) -> None:
    assert (planned_latency(mini_suite(tmp_path, protocol, profile=profile)) is not None) is is_timed


def test_prompts_are_those_whose_answers_are_long_from_everybody(tmp_path: Path) -> None:
    suite = mini_suite(tmp_path, "")

    def chosen(lengths: Callable[[int, System], int]) -> set[str]:
        return {case.id for case in choose_cases(suite, SYSTEMS, trials(suite, lengths), output_tokens=10)}

    assert chosen(lambda number, _: 10 if number < 3 else 9) == {"sum-00", "sum-01", "sum-02"}
    assert chosen(lambda number, system: 9 - (number > 1 and system is SYSTEMS[1])) == {"sum-00", "sum-01"}
    assert len(chosen(lambda _, system: 8 if system is SYSTEMS[1] else 9)) == 12
    assert choose_cases(suite, SYSTEMS, [], output_tokens=10) == ()


def tried(suite: Suite, systems: Sequence[System]) -> Evaluation:
    """Return a record with all its trials, whose cases and criteria are the suite's."""
    plain = make_evaluation({system.variant.name: [] for system in systems}, systems=systems)
    return msgspec.structs.replace(
        plain,
        profile=suite.manifest.profile,
        criteria=suite.manifest.effective_criteria(),
        cases=tuple(case.reference() for case in suite.cases),
        trials=tuple(trials(suite, lambda _number, _system: 40, systems)),
        latency=planned_latency(suite),
    )


def timed(
    suite: Suite,
    fake: FakeGateway,
    order: list[int] | None = None,
    *,
    systems: Sequence[System] = SYSTEMS,
    notes: list[str] | None = None,
) -> LatencyRecord:
    with GatewayClient("http://gateway.test", transport=fake.transport) as gateway:
        record = measure_latency(
            gateway,
            list(enumerate(systems)),
            suite,
            tried(suite, systems),
            bring=brought if order is None else order.append,
            note=noted if notes is None else notes.append,
        )
    assert record is not None
    return record


def fake_gateway() -> FakeGateway:
    fake = FakeGateway({"incumbent": "4", "good": "4"})
    fake.loaded.add("good")
    return fake


def test_each_cycle_goes_forth_and_back_on_prompts_of_its_own(tmp_path: Path) -> None:
    suite = mini_suite(tmp_path, "[protocol.latency]\ncycles = 4\nprompts_per_cycle = 3\nconcurrency = 2\n")
    asked: list[tuple[str, str]] = []
    fake = fake_gateway()

    def chat(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        assert body["max_completion_tokens"] == 32
        assert request.headers["x-gateway-prefix-cache"] == "off"
        asked.append((request.headers["x-gateway-variant"].partition("@")[0], body["messages"][0]["content"]))
        return stream_response(whole_answer("4"), request.headers["x-gateway-variant"])

    fake.chat = chat
    record = timed(suite, fake)
    assert Counter(name for name, _ in asked[:4]) == {"incumbent": 2, "good": 2}  # the warm-up, which is not recorded
    assert [block.system for block in record.blocks[:8]] == [0, 1, 1, 0, 1, 0, 0, 1]
    assert [block.concurrency for block in record.blocks] == [1] * 16 + [2] * 16
    prompts = [tuple(answer.case_id for answer in block.answers) for block in record.blocks[:16]]
    assert [len(set(prompts[start : start + 4])) for start in range(0, 16, 4)] == [1, 1, 1, 1]
    assert len({case_id for block in prompts for case_id in block}) == 12
    assert record.host == fake.host.digest


@pytest.mark.parametrize(("profile", "cycles"), [("full", 5), ("seed", 6)])
def test_the_first_look_ends_what_it_settles_and_under_seed_there_is_none(
    tmp_path: Path, profile: str, cycles: int
) -> None:
    suite = mini_suite(tmp_path, "[protocol.latency]\ncycles = 6\nconcurrency = 2\n", profile=profile)
    record = timed(suite, fake_gateway())
    assert record.cycles == 6
    at_one = {block.cycle for block in record.blocks if block.concurrency == 1}
    at_two = {block.cycle for block in record.blocks if block.concurrency == 2}
    assert at_one == at_two == set(range(cycles))


def test_what_fails_in_a_block_is_kept_by_whose_fault_it_is(tmp_path: Path) -> None:
    fake = fake_gateway()
    fake.chat = lambda _: CRASH
    suite = mini_suite(tmp_path, "[protocol.latency]\ncycles = 2\nprompts_per_cycle = 1\n")
    record = timed(suite, fake)
    assert {(block.answers, block.candidate_errors) for block in record.blocks} == {((), ("engine_crashed",))}
    fake.chat = lambda _: error_response(400, "invalid_value")
    assert {block.infrastructure_errors for block in timed(suite, fake).blocks} == {("invalid_value",)}


def test_each_block_says_whose_turn_it_is(tmp_path: Path) -> None:
    order: list[int] = []
    timed(mini_suite(tmp_path, "[protocol.latency]\ncycles = 2\nprompts_per_cycle = 1\n"), fake_gateway(), order)
    assert order == [0, 1, 0, 1, 1, 0, 1, 0, 0, 1]


@pytest.mark.parametrize(
    ("one_at_a_time", "at_two", "in_flight"), [((1,), set(), "1"), ((0,), {1}, "1 and 2"), ((), {0, 1}, "1 and 2")]
)
def test_an_engine_that_serves_one_at_a_time_is_timed_with_one_in_flight_only(
    tmp_path: Path, one_at_a_time: tuple[int, ...], at_two: set[int], in_flight: str
) -> None:
    suite = mini_suite(tmp_path, "[protocol.latency]\ncycles = 2\nprompts_per_cycle = 1\nconcurrency = 2\n")
    systems = [
        serving_one_at_a_time(system) if position in one_at_a_time else system
        for position, system in enumerate(SYSTEMS)
    ]
    fake, notes = fake_gateway(), []
    fake.chat = lambda request: stream_response(whole_answer("4"), request.headers["x-gateway-variant"])
    record = timed(suite, fake, systems=systems, notes=notes)
    assert {block.system for block in record.blocks if block.concurrency == 1} == {0, 1}
    assert {block.system for block in record.blocks if block.concurrency == 2} == at_two
    names = ", ".join(SYSTEMS[position].variant.name for position in one_at_a_time)
    end = f"requests in flight: {in_flight}." + (f" One at a time only: {names}." if names else "")
    assert [note.endswith(end) for note in notes] == [True]


# --- memory ---


def read(suite: Suite, fake: FakeGateway, *, may_reload: bool = False) -> MemoryRecord:
    with GatewayClient("http://gateway.test", transport=fake.transport) as gateway:
        return measure_memory(gateway, 1, SYSTEMS[1], suite, model="tutor", may_reload=may_reload, note=noted)


def memory_suite(parent: Path, *, reload: bool = False) -> Suite:
    return mini_suite(parent, f"[protocol.memory]\nrepeats = 20\nreload = {str(reload).lower()}\n")


def test_a_candidate_is_loaded_twice_more_where_nobody_needs_it_meanwhile(tmp_path: Path) -> None:
    suite = memory_suite(tmp_path, reload=True)
    record = read(suite, fake_gateway(), may_reload=True)
    # The fake's files are nowhere, so that nothing can be forgotten of them.
    assert (record.load_time_cold_s, record.load_time_warm_s) == (None, 0.5)
    assert read(suite, fake_gateway()).load_time_warm_s is None
    assert read(memory_suite(tmp_path), fake_gateway(), may_reload=True).load_time_warm_s is None
    assert (record.limit_bytes, len(record.contexts), len(record.after_request)) == (9_000, 4, 20)


@pytest.mark.parametrize(
    ("answer", "code", "is_its_own"),
    [(CRASH, "engine_crashed", True), (error_response(400, "invalid_value"), "invalid_value", False)],
)
def test_readings_end_where_a_request_fails_and_say_by_whose_fault(
    tmp_path: Path, answer: httpx.Response, code: str, is_its_own: bool
) -> None:
    fake = fake_gateway()
    asked: list[int] = []

    def chat(request: httpx.Request) -> httpx.Response:
        asked.append(len(request.content))
        if len(asked) > 3:
            return answer
        return stream_response(whole_answer("4"), request.headers["x-gateway-variant"])

    fake.chat = chat
    record = read(memory_suite(tmp_path), fake)
    assert record.problem is not None
    assert record.problem.startswith(code)
    assert record.candidate_failed is is_its_own
    assert (record.steady is not None, len(record.contexts), record.after_request) == (True, 1, ())


def test_an_engine_that_is_gone_is_nobodys_fault(tmp_path: Path) -> None:
    fake = fake_gateway()
    fake.loaded.discard("good")
    record = read(memory_suite(tmp_path), fake)
    assert record.problem == "not_loaded: its engine is gone"
    assert not record.candidate_failed


def test_swap_is_read_at_both_ends(tmp_path: Path) -> None:
    fake = fake_gateway()
    grown = msgspec.structs.replace(fake.host.state, swap_used_bytes=7)

    def chat(request: httpx.Request) -> httpx.Response:
        fake.host = msgspec.structs.replace(fake.host, state=grown)
        return stream_response(whole_answer("4"), request.headers["x-gateway-variant"])

    fake.chat = chat
    record = read(memory_suite(tmp_path), fake)
    assert (record.swap_before_bytes, record.swap_after_bytes) == (0, 7)


def test_files_are_forgotten_where_the_system_takes_the_wish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "weights").write_bytes(b"x" * 10_000)
    forgotten: list[int] = []
    monkeypatch.setattr("os.posix_fadvise", lambda *arguments: forgotten.append(arguments[3]), raising=False)
    monkeypatch.setattr("os.POSIX_FADV_DONTNEED", 4, raising=False)
    assert forget_files(tmp_path)
    assert forgotten == [4]
    assert not forget_files(tmp_path / "nowhere")
    monkeypatch.delattr("os.posix_fadvise")
    assert not forget_files(tmp_path)


# --- what both count ---


def engines(
    admitted: dict[SchedulingClass, int], running: dict[SchedulingClass, int] | None = None
) -> tuple[EngineView, ...]:
    with GatewayClient("http://gateway.test", transport=fake_gateway().transport) as gateway:
        first, *others = gateway.engines()
    return (msgspec.structs.replace(first, work=EngineWork(admitted=admitted, running=running or {})), *others)


def test_production_between_two_readings_is_what_ran_and_what_began() -> None:
    interactive, batch, evaluation = SchedulingClass
    before = engines(admitted={interactive: 5, evaluation: 9}, running={interactive: 2, evaluation: 4})
    after = engines(admitted={interactive: 6, batch: 1, evaluation: 30})
    assert production_between(before, after) == 2 + 1 + 1
    assert production_between((), after) == 7  # an engine that was loaded meanwhile
    assert production_between(before, ()) == 2
