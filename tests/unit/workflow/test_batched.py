"""Trials side by side, resumed and reused: how many requests there are, and what the record says of them."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import msgspec
import pytest

from canary.client import GatewayClient
from canary.errors import GatewayUnavailable
from canary.judge import judge
from canary.runner import Pace, Trier, plan_trials, run_trials, trials_at_once
from canary.stage import Lineup
from canary.suite import Suite, load_suite
from canary.workflow import RunOptions, evaluate, line_up, line_up_pair
from gateway.contracts.evaluations import Criterion, Evaluation, Metric, Profile, Role, Rule, StopCause
from gateway.contracts.suites import LatencyProtocol, Protocol
from tests.support.evaluations import make_host, make_system
from tests.support.fake_gateway import FakeGateway, error_response
from tests.support.mini_suite import write_mini_suite
from tests.support.noted import Noted

CRITERIA = (
    Criterion(name="accuracy", metric=Metric.ACCURACY, rule=Rule.AT_LEAST, bound=0.8),
    # Twenty families can show 25 points: enough for a test, and for nothing else.
    Criterion(name="accuracy_vs_incumbent", metric=Metric.ACCURACY, rule=Rule.NO_WORSE_THAN, bound=0.25),
    Criterion(name="generation_time", metric=Metric.GENERATION_TIME_S, rule=Rule.AT_MOST, bound=3.0, required=False),
)
TIMED_TOKENS = 2
"""Of the requests of the latency phase, which no trial asks for."""
LOCAL = "http://127.0.0.1:1"


class Counting:
    """Answers as the fake does, and counts: who was asked, and how many at once."""

    def __init__(self, fake: FakeGateway, *, dies_at: int | None = None, held: threading.Barrier | None = None) -> None:
        self.asked: Counter[tuple[str, bytes]] = Counter()
        self._fake = fake
        self._dies_at = dies_at
        self._held = held
        self._lock = threading.Lock()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if json.loads(request.content)["max_completion_tokens"] == TIMED_TOKENS:
            return self._fake.complete(request)
        with self._lock:
            self.asked[request.headers["x-gateway-variant"].partition("@")[0], request.content] += 1
            if self._dies_at is not None and self.asked.total() > self._dies_at:
                return error_response(401, "invalid_api_key")
        if self._held is not None:
            self._held.wait(10)
        return self._fake.complete(request)

    def of(self, name: str) -> int:
        return sum(count for (variant, _), count in self.asked.items() if variant == name)


def suite_of(parent: Path, *, count: int = 8, profile: Profile = "full", **changes: object) -> Suite:
    write_mini_suite(parent, count=count)
    suite = load_suite("mini", search_path=[parent])
    latency = LatencyProtocol(cycles=2, prompts_per_cycle=1, warm_up_count=1, output_tokens=TIMED_TOKENS)
    protocol = Protocol(warm_up_count=0, latency=latency if profile != "seed" else None)
    criteria = CRITERIA[:2] if profile != "seed" else CRITERIA
    manifest = msgspec.structs.replace(
        suite.manifest, profile=profile, criteria=(*criteria, _advisory()), protocol=protocol, **changes
    )
    return msgspec.structs.replace(suite, manifest=manifest)


def _advisory() -> Criterion:
    """Return the default criterion over times as one that decides nothing."""
    return CRITERIA[2]


def run(fake: FakeGateway, suite: Suite, *candidates: str, options: RunOptions | None = None) -> Evaluation:
    return told(fake, suite, *candidates, options=options)[0]


def told(
    fake: FakeGateway, suite: Suite, *candidates: str, options: RunOptions | None = None
) -> tuple[Evaluation, list[str]]:
    with GatewayClient(LOCAL, transport=fake.transport) as gateway:
        return lined_up(gateway, line_up(gateway, fake.deployments[0], candidates), suite, options)


def compared(
    fake: FakeGateway, suite: Suite, one: str, other: str, *, options: RunOptions
) -> tuple[Evaluation, list[str]]:
    with GatewayClient(LOCAL, transport=fake.transport) as gateway:
        return lined_up(gateway, line_up_pair(gateway, fake.deployments[0], one, other), suite, options)


def lined_up(
    gateway: GatewayClient, lineup: Lineup, suite: Suite, options: RunOptions | None
) -> tuple[Evaluation, list[str]]:
    progress = Noted()
    with ExitStack() as engines:
        evaluation = evaluate(gateway, lineup, suite, engines=engines, progress=progress, options=options)
    return evaluation, progress.notes


@pytest.fixture
def fake() -> FakeGateway:
    return FakeGateway({"incumbent": "4", "good": "4", "bad": "5", "third": "4"})


@pytest.fixture(autouse=True)
def _no_scores_of_other_tests(  # pyright: ignore[reportUnusedFunction] - pytest uses it
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


# --- side by side ---


def test_trials_run_side_by_side_and_are_recorded_in_the_order_of_the_plan(tmp_path: Path, fake: FakeGateway) -> None:
    suite = suite_of(tmp_path, count=8)
    systems = (make_system("incumbent", Role.INCUMBENT), make_system("good"))
    plan = plan_trials(suite, systems)
    # Each waits for three others: one at a time, none would ever end.
    fake.chat = Counting(fake, held=threading.Barrier(4))
    with GatewayClient(LOCAL, transport=fake.transport) as gateway:
        trier = Trier(gateway, suite, model="tutor")
        trials = list(run_trials(trier, plan, on_trial=Noted().on_trial, pace=Pace(gateway, 4)))
    assert [(trial.case_id, trial.variant_digest) for trial in trials] == [
        (planned.case.id, planned.system.variant.digest) for planned in plan
    ]
    assert [trial.sequence for trial in trials] == list(range(16))


def test_what_runs_ahead_of_the_stopping_point_is_bounded_and_not_recorded(tmp_path: Path, fake: FakeGateway) -> None:
    counting = fake.chat = Counting(fake)
    evaluation = run(fake, suite_of(tmp_path, count=40), "bad")
    (judgement,) = evaluation.judgements
    assert judgement.stopping is not None
    assert judgement.stopping.cause is StopCause.HARM
    assert len(evaluation.trials) == 2 * judgement.stopping.cases
    # Two systems of eight rows, half of them for evaluations: eight in flight, and as many that are to follow them.
    assert counting.asked.total() <= len(evaluation.trials) + 16
    assert judge(evaluation) == evaluation.judgements


def test_the_same_is_decided_one_at_a_time_and_side_by_side(tmp_path: Path, fake: FakeGateway) -> None:
    suite = suite_of(tmp_path, count=24)
    side_by_side = run(fake, suite, "good", "bad")
    fake.max_rows = 1
    one_at_a_time = run(fake, suite, "good", "bad", options=RunOptions(fresh=True))
    assert [_decided(each) for each in side_by_side.judgements] == [_decided(each) for each in one_at_a_time.judgements]


def _decided(judgement: object) -> object:
    built = msgspec.to_builtins(judgement)
    return built["verdict"], built["stopping"]


def test_while_production_waits_one_trial_is_in_flight(fake: FakeGateway) -> None:
    with GatewayClient(LOCAL, transport=fake.transport) as gateway:
        assert Pace(gateway, 8).allowed() == 8
        fake.queued = {"evaluation": 5}
        assert Pace(gateway, 8).allowed() == 8
        fake.queued = {"interactive": 1, "evaluation": 5}
        assert Pace(gateway, 8).allowed() == 1


@pytest.mark.parametrize(
    ("profile", "max_rows", "expected"), [("full", 8, 8), ("full", 1, 2), ("full", 64, 16), ("seed", 8, 1)]
)
def test_as_many_at_once_as_the_engines_take_and_one_under_seed(
    tmp_path: Path, fake: FakeGateway, profile: Profile, max_rows: int, expected: int
) -> None:
    fake.max_rows = max_rows
    fake.loaded = {"incumbent", "good", "bad"}
    systems = (make_system("incumbent", Role.INCUMBENT), make_system("good"))
    with GatewayClient(LOCAL, transport=fake.transport) as gateway:
        assert trials_at_once(suite_of(tmp_path, profile=profile), systems, gateway.engines()) == expected


# --- resumed ---


@pytest.mark.parametrize("profile", ["full", "seed"])
def test_a_run_that_broke_off_goes_on_without_repeating_a_trial(
    tmp_path: Path, fake: FakeGateway, profile: Profile
) -> None:
    suite = suite_of(tmp_path, profile=profile)
    options = RunOptions(log_directory=tmp_path / "runs")
    first = fake.chat = Counting(fake, dies_at=7)
    with pytest.raises(GatewayUnavailable):
        run(fake, suite, "good", options=options)
    second = fake.chat = Counting(fake)
    evaluation, notes = told(fake, suite, "good", options=options)
    assert any("of a run that was broken off" in note for note in notes)
    assert max(second.asked.values()) == 1
    refused = first.asked.total() - 7
    assert refused >= 1
    answered_twice = sum((first.asked & second.asked).values())
    assert answered_twice == refused
    fake.chat = None
    fresh = run(fake, suite, "good", options=RunOptions(fresh=True))
    assert [_decided(each) for each in evaluation.judgements] == [_decided(each) for each in fresh.judgements]
    assert len(evaluation.trials) == len(fresh.trials)
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_run_goes_on_from_a_log_of_the_very_same_run_alone(tmp_path: Path, fake: FakeGateway) -> None:
    options = RunOptions(log_directory=tmp_path / "runs")

    def breaks_off(suite: Suite, *candidates: str) -> None:
        fake.chat = Counting(fake, dies_at=3)
        with pytest.raises(GatewayUnavailable):
            run(fake, suite, *candidates, options=options)
        fake.chat = None

    def kept() -> int:
        return len(list((tmp_path / "runs").iterdir()))

    suite = suite_of(tmp_path)
    variations: list[Callable[[], None]] = [
        lambda: breaks_off(suite, "good"),
        lambda: breaks_off(suite, "bad"),
        lambda: breaks_off(suite, "bad", "good"),
        lambda: breaks_off(suite_of(tmp_path, seed=7), "good"),
        lambda: breaks_off(suite_of(tmp_path, min_pairs=20), "good"),
        lambda: breaks_off(suite_of(tmp_path, count=7), "good"),
        lambda: setattr(fake, "host", make_host(chip="another")) or breaks_off(suite, "good"),
    ]
    for number, variation in enumerate(variations, 1):
        variation()
        assert kept() == number
    breaks_off(suite, "good")
    assert kept() == len(variations)


def test_a_comparison_goes_on_after_another_came_to_serve(tmp_path: Path, fake: FakeGateway) -> None:
    suite, options = suite_of(tmp_path), RunOptions(log_directory=tmp_path / "runs")
    fake.chat = Counting(fake, dies_at=3)
    with pytest.raises(GatewayUnavailable):
        compared(fake, suite, "good", "bad", options=options)
    fake.chat = None
    before = fake.deployments[0]
    third = fake.views["third"].digest
    fake.deployments[0] = msgspec.structs.replace(before, incumbent=third, revision=before.revision + 1)
    evaluation, notes = compared(fake, suite, "good", "bad", options=options)
    assert any("of a run that was broken off" in note for note in notes)
    assert (evaluation.compared_while, evaluation.deployment_revision) == (third, before.revision + 1)


# --- reused ---


@contextmanager
def asking(fake: FakeGateway) -> Generator[Counting]:
    counting = fake.chat = Counting(fake)
    yield counting
    fake.chat = None


def test_the_incumbents_trials_are_taken_from_an_earlier_evaluation_and_the_record_says_so(
    tmp_path: Path, fake: FakeGateway
) -> None:
    suite = suite_of(tmp_path)
    first = run(fake, suite, "good")
    assert {trial.run_in for trial in first.trials} == {None}
    with asking(fake) as counting:
        second, notes = told(fake, suite, "good")
    assert counting.of("incumbent") == 0
    assert counting.of("good") >= len(first.trials) / 2
    assert any("are taken from earlier evaluations" in note for note in notes)
    digest = second.incumbent.variant.digest
    assert {(trial.variant_digest == digest, trial.run_in) for trial in second.trials} == {
        (True, first.id),
        (False, None),
    }
    assert judge(second) == second.judgements
    third = run(fake, suite, "good")
    assert {trial.run_in for trial in third.trials if trial.variant_digest == digest} == {first.id}


def test_what_an_earlier_evaluation_lacks_is_run(tmp_path: Path, fake: FakeGateway) -> None:
    suite = suite_of(tmp_path, count=24)
    first = run(fake, suite, "bad")  # ends early
    ran = sum(trial.variant_digest == first.incumbent.variant.digest for trial in first.trials)
    with asking(fake) as counting:
        second = run(fake, suite, "good")
    needed = sum(trial.variant_digest == first.incumbent.variant.digest for trial in second.trials)
    assert ran < needed
    assert needed - ran <= counting.of("incumbent") <= needed - ran + 16


def _older(fake: FakeGateway) -> None:
    fake.recorded[0] = msgspec.structs.replace(fake.recorded[0], created_at="2020-01-01T00:00:00+00:00")


def _other_versions(fake: FakeGateway) -> None:
    environment = msgspec.structs.replace(fake.recorded[0].environment, versions={"mlx": "0.1"})
    fake.recorded[0] = msgspec.structs.replace(fake.recorded[0], environment=environment)


def _other_suite(fake: FakeGateway) -> None:
    suite = msgspec.structs.replace(fake.recorded[0].suite, digest="0" * 64)
    fake.recorded[0] = msgspec.structs.replace(fake.recorded[0], suite=suite)


def _other_host(fake: FakeGateway) -> None:
    fake.host = make_host(chip="another")


def _other_device(fake: FakeGateway) -> None:
    first, *others = fake.recorded[0].systems
    systems = (msgspec.structs.replace(first, device="another"), *others)
    fake.recorded[0] = msgspec.structs.replace(fake.recorded[0], systems=systems)


def _other_seed(fake: FakeGateway) -> None:
    fake.recorded[0] = msgspec.structs.replace(fake.recorded[0], seed=99)


def _other_cases(fake: FakeGateway) -> None:
    cases = tuple(msgspec.structs.replace(case, digest="0" * 64) for case in fake.recorded[0].cases)
    fake.recorded[0] = msgspec.structs.replace(fake.recorded[0], cases=cases)


@pytest.mark.parametrize(
    "changed", [_older, _other_versions, _other_suite, _other_host, _other_device, _other_seed, _other_cases]
)
def test_nothing_is_taken_from_an_evaluation_that_could_have_come_out_otherwise(
    tmp_path: Path, fake: FakeGateway, changed: Callable[[FakeGateway], None]
) -> None:
    suite = suite_of(tmp_path)
    run(fake, suite, "good")
    changed(fake)
    assert {trial.run_in for trial in run(fake, suite, "good").trials} == {None}


@pytest.mark.parametrize("changes", [{"temperature": 0.7}, {"profile": "seed"}], ids=["sampled", "seed"])
def test_nothing_is_taken_where_answers_are_drawn_or_times_are_read_from_trials(
    tmp_path: Path, fake: FakeGateway, changes: dict[str, object]
) -> None:
    suite = suite_of(tmp_path)
    suite = msgspec.structs.replace(suite, manifest=msgspec.structs.replace(suite.manifest, **changes))
    for _ in range(2):
        assert {trial.run_in for trial in run(fake, suite, "good").trials} == {None}


def test_an_incumbent_against_itself_has_two_trials_of_now(tmp_path: Path, fake: FakeGateway) -> None:
    suite = suite_of(tmp_path)
    run(fake, suite, "good")
    with asking(fake) as counting:
        evaluation = run(fake, suite, "incumbent")
    assert {trial.run_in for trial in evaluation.trials} == {None}
    assert max(counting.asked.values()) == 2
    after = run(fake, suite, "good")  # takes nothing of the twins either
    assert {trial.run_in for trial in after.trials if trial.run_in} == {fake.recorded[0].id}


def test_a_fresh_run_takes_nothing(tmp_path: Path, fake: FakeGateway) -> None:
    suite = suite_of(tmp_path)
    run(fake, suite, "good")
    assert {trial.run_in for trial in run(fake, suite, "good", options=RunOptions(fresh=True)).trials} == {None}
