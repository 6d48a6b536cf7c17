"""Rules of the lines before an engine's rows."""

import itertools
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.contracts.scheduling import SchedulingClass
from gateway.fleet.admission import Admission, ClassPolicy, Refused, Surroundings, admit_everywhere
from gateway.fleet.budget import Holding, Machine, planned_kv_bytes

INTERACTIVE, BATCH, EVALUATION = SchedulingClass
POLICIES = {
    INTERACTIVE: ClassPolicy(max_queued=4),
    BATCH: ClassPolicy(max_queued=4, patience_s=10),
    EVALUATION: ClassPolicy(max_queued=4, patience_s=30, rows_ratio=0.5),
}
PLENTY = 10**12


def around(now_s: float = 0.0, *, room_bytes: int = PLENTY, interactive_waits: bool = False) -> Surroundings:
    return Surroundings(now_s=now_s, kv_room_bytes=room_bytes, interactive_waits=interactive_waits)


def standing(
    *waiting: SchedulingClass,
    capacity: int = 0,
    tokens: int = 100,
    policies: dict[SchedulingClass, ClassPolicy] = POLICIES,
) -> Admission:
    """Return an admission with these in its lines, measured; their tickets are 0, 1, ..."""
    admission = Admission(policies, kv_bytes_per_token=1, capacity=capacity)
    for ticket, scheduling_class in enumerate(waiting):
        assert admission.enter(ticket, scheduling_class, now_s=0) is None
        admission.measure(ticket, tokens)
    return admission


def test_rows_are_taken_until_none_is_left_and_the_line_until_it_is_full() -> None:
    admission = standing(*[INTERACTIVE] * 5, capacity=1)
    assert isinstance(admission.enter(9, INTERACTIVE, now_s=0), Refused)
    assert admission.admit(around()) == [0]
    assert isinstance(admission.enter(9, INTERACTIVE, now_s=0), Refused)
    admission.finish(0, now_s=1)
    assert admission.enter(9, INTERACTIVE, now_s=1) is None


def test_a_line_of_no_length_takes_as_many_as_rows_are_free() -> None:
    policies = {it: ClassPolicy(max_queued=0) for it in SchedulingClass}
    admission = standing(INTERACTIVE, INTERACTIVE, capacity=2, policies=policies)
    assert isinstance(admission.enter(9, INTERACTIVE, now_s=0), Refused)
    assert admission.admit(around()) == [0, 1]


def test_each_class_has_a_line_of_its_own() -> None:
    admission = standing(*[BATCH] * 4)
    assert isinstance(admission.enter(8, BATCH, now_s=0), Refused)
    assert admission.enter(9, INTERACTIVE, now_s=0) is None


def test_a_class_is_served_in_the_order_of_coming() -> None:
    admission = standing(*[INTERACTIVE] * 3, capacity=1)
    assert admission.admit(around()) == [0]
    admission.finish(0, now_s=1)
    assert admission.admit(around()) == [1]


def test_the_unmeasured_head_is_not_overtaken_by_those_behind_it() -> None:
    admission = Admission(POLICIES, capacity=2)
    admission.enter(0, INTERACTIVE, now_s=0)
    admission.enter(1, INTERACTIVE, now_s=0)
    admission.measure(1, 10)
    assert admission.admit(around()) == []
    admission.measure(0, 10)
    assert admission.admit(around()) == [0, 1]


def test_interactive_goes_first_then_batch_then_evaluation() -> None:
    admission = standing(EVALUATION, BATCH, INTERACTIVE, capacity=4)
    assert admission.admit(around()) == [2, 1, 0]


def test_evaluations_hold_their_share_of_the_rows_and_no_more() -> None:
    admission = standing(*[EVALUATION] * 4, capacity=4)
    assert admission.admit(around()) == [0, 1]
    assert admission.admit(around(now_s=1000)) == []
    admission.finish(0, now_s=1000)
    assert admission.admit(around(now_s=1000)) == [2]


def test_an_engine_of_one_row_gives_it_to_an_evaluation() -> None:
    assert standing(EVALUATION, capacity=1).admit(around()) == [0]


def test_no_evaluation_starts_while_interactive_requests_wait_on_any_engine() -> None:
    admission = standing(EVALUATION, BATCH, capacity=4)
    assert admission.admit(around(interactive_waits=True)) == [1]
    assert admission.admit(around()) == [0]


def test_patience_ends_and_one_of_the_class_goes_each_time() -> None:
    admission = standing(EVALUATION, EVALUATION, *[INTERACTIVE] * 3, capacity=1)
    order: list[int] = []
    for turn in range(4):
        (ticket,) = admission.admit(around(now_s=16.0 * turn, interactive_waits=True))
        order.append(ticket)
        admission.finish(ticket, now_s=16.0 * turn)
    assert order == [2, 3, 0, 4]


def test_when_patience_ends_is_told_once_for_each_class_and_not_of_the_past() -> None:
    admission = standing(EVALUATION, BATCH)
    assert admission.patience_ends_s(0) == 10
    assert admission.patience_ends_s(10) == 30
    assert admission.patience_ends_s(30) is None
    assert standing(INTERACTIVE).patience_ends_s(0) is None


def test_the_next_one_waits_for_memory_and_is_not_overtaken() -> None:
    admission = standing(INTERACTIVE, capacity=4)
    room_bytes = planned_kv_bytes([1000], 1)
    assert admission.admit(around(room_bytes=room_bytes)) == [0]
    admission.enter(1, INTERACTIVE, now_s=0)
    admission.enter(2, INTERACTIVE, now_s=0)
    admission.measure(1, 1000)
    admission.measure(2, 1)
    assert admission.admit(around(room_bytes=room_bytes)) == []
    admission.finish(0, now_s=1)
    assert admission.admit(around(room_bytes=room_bytes)) == [1]


def test_a_long_row_counts_for_every_row_beside_it() -> None:
    room_bytes = 16 * planned_kv_bytes([256], 1)
    admission = standing(*[INTERACTIVE] * 4, capacity=16, tokens=256)
    assert admission.admit(around(room_bytes=room_bytes)) == [0, 1, 2, 3]
    admission.enter(9, INTERACTIVE, now_s=0)
    admission.measure(9, 16 * 256)  # the sum of lengths is 20 x 256 and would be 25 % over; the rectangle is 80 x 256
    assert admission.admit(around(room_bytes=room_bytes + room_bytes // 2)) == []


def test_while_one_waits_for_memory_other_engines_stay_within_their_floor() -> None:
    """One engine is busy and more keeps coming; the large request on the other gets its memory all the same."""
    machine = Machine(limit_bytes=planned_kv_bytes([2048], 1), reserve_bytes=0)
    holding = Holding(fixed_bytes=0, kv_floor_bytes=planned_kv_bytes([256], 1))
    busy, other = standing(*[BATCH] * 4, capacity=4, tokens=256), standing(capacity=4)
    pairs = [(busy, holding), (other, holding)]
    assert len(admit_everywhere(pairs, machine, now_s=0)) == 4
    other.enter(9, INTERACTIVE, now_s=1)
    other.measure(9, 1536)  # 2 of the 4 rows must end first
    for turn, expected in enumerate([[], [(other, 9)]]):
        busy.enter(10 + turn, INTERACTIVE, now_s=2)
        busy.measure(10 + turn, 256)
        busy.finish(turn, now_s=2)
        busy.settle()
        assert admit_everywhere(pairs, machine, now_s=2) == expected


def test_another_engine_gets_the_memory_of_a_row_only_when_it_is_free() -> None:
    machine = Machine(limit_bytes=planned_kv_bytes([1024], 1), reserve_bytes=0)
    holding = Holding(fixed_bytes=0, kv_floor_bytes=0)
    one, other = standing(INTERACTIVE, capacity=1, tokens=1024), standing(capacity=1)
    pairs = [(one, holding), (other, holding)]
    assert admit_everywhere(pairs, machine, now_s=0) == [(one, 0)]
    other.enter(1, INTERACTIVE, now_s=0)
    other.measure(1, 1024)
    one.finish(0, now_s=1)
    assert admit_everywhere(pairs, machine, now_s=1) == []
    assert one.settle()
    assert admit_everywhere(pairs, machine, now_s=1) == [(other, 1)]


def test_a_waiting_one_that_leaves_makes_room_and_is_never_admitted() -> None:
    admission = standing(*[INTERACTIVE] * 4)
    admission.leave(1)
    assert admission.enter(9, INTERACTIVE, now_s=0) is None
    admission.capacity = 4
    assert admission.admit(around()) == [0, 2, 3]


@given(st.integers(0, 50), st.integers(1, 8))
def test_the_expected_wait_grows_with_those_ahead(ahead: int, capacity: int) -> None:
    policies = {it: ClassPolicy(max_queued=100) for it in SchedulingClass}
    admission = standing(*[INTERACTIVE] * ahead, capacity=capacity, policies=policies)
    before_s = admission.expected_wait_s(INTERACTIVE)
    admission.enter(99, INTERACTIVE, now_s=0)
    assert 1.0 <= before_s <= admission.expected_wait_s(INTERACTIVE) <= admission.expected_wait_s(EVALUATION)


@pytest.mark.parametrize("rows", [1, 2, 4])
@pytest.mark.parametrize("service_s", [0.5, 8.0])
def test_who_comes_back_when_told_finds_the_line_gone_that_it_was_refused_by(rows: int, service_s: float) -> None:
    admission = Admission(POLICIES, capacity=rows)
    ends_s: dict[int, float] = {}
    now_s = 0.0

    def run(until_s: float) -> None:
        nonlocal now_s
        while True:
            for ticket in admission.admit(around(now_s)):
                ends_s[ticket] = now_s + service_s
            if not ends_s or min(ends_s.values()) > until_s:
                break
            ticket = min(ends_s, key=ends_s.__getitem__)
            now_s = ends_s.pop(ticket)
            admission.finish(ticket, now_s=now_s)
        now_s = until_s

    for ticket in range(60):  # it learns how long requests take
        admission.enter(ticket, INTERACTIVE, now_s=now_s)
        admission.measure(ticket, 1)
        run(now_s + service_s)
    refused = None
    for ticket in range(100, 200):
        if refused := admission.enter(ticket, INTERACTIVE, now_s=now_s):
            break
        admission.measure(ticket, 1)
        run(now_s)
    assert refused is not None
    assert refused.retry_after_s < 2.5 * max(1.0, service_s * 5 / rows)
    run(now_s + refused.retry_after_s)
    assert admission.waiting_count == 0


@dataclass
class Seen:
    """What the machine below knows of one request."""

    scheduling_class: SchedulingClass
    engine: int
    tokens: int
    entered_s: float
    alone: bool = False
    measured: bool = False


class AdmissionMachine(RuleBasedStateMachine):
    """Two engines on one machine, whatever the order of events.

    Nobody is lost, overtaken in its class or starved; no limit is passed; what is planned fits the machine, in the
    moment of a join or a removal too.
    """

    def __init__(self) -> None:
        super().__init__()
        self.machine = Machine(limit_bytes=40_000, reserve_bytes=1_000)
        self.holding = Holding(fixed_bytes=5_000, kv_floor_bytes=planned_kv_bytes([1024], 2))
        self.engines = [Admission(POLICIES, kv_bytes_per_token=2, capacity=3) for _ in range(2)]
        self.now_s = 0.0
        self.tickets = itertools.count()
        self.seen: dict[int, Seen] = {}
        self.running: dict[int, Seen] = {}
        self.largest: list[int] = [0, 0]
        self.last_s: dict[tuple[int, SchedulingClass], float] = {}

    def lined_up(self, engine: int, scheduling_class: SchedulingClass) -> list[int]:
        return [
            ticket for ticket, it in self.seen.items() if (it.engine, it.scheduling_class) == (engine, scheduling_class)
        ]

    @rule(
        engine=st.integers(0, 1),
        scheduling_class=st.sampled_from(SchedulingClass),
        tokens=st.integers(1, 3000),
        alone=st.sampled_from([False, False, True]),
    )
    def enter(self, engine: int, scheduling_class: SchedulingClass, tokens: int, *, alone: bool = False) -> None:
        ticket = next(self.tickets)
        before = len(self.lined_up(engine, scheduling_class))
        refused = self.engines[engine].enter(ticket, scheduling_class, now_s=self.now_s, alone=alone)
        if refused is not None:
            assert before >= POLICIES[scheduling_class].max_queued
            assert refused.retry_after_s >= 1
            return
        assert before < POLICIES[scheduling_class].max_queued + self.engines[engine].capacity
        self.seen[ticket] = Seen(scheduling_class, engine, tokens, self.now_s, alone)

    @precondition(lambda self: any(not it.measured for it in self.seen.values()))
    @rule(data=st.data())
    def measure(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from([ticket for ticket, it in self.seen.items() if not it.measured]))
        self.seen[ticket].measured = True
        self.engines[self.seen[ticket].engine].measure(ticket, self.seen[ticket].tokens)
        self.admit()

    @precondition(lambda self: bool(self.seen))
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(list(self.seen)))
        self.engines[self.seen.pop(ticket).engine].leave(ticket)
        self.admit()

    @precondition(lambda self: bool(self.running))
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(list(self.running)))
        self.engines[self.running.pop(ticket).engine].finish(ticket, now_s=self.now_s)
        self.admit()

    @rule(engine=st.integers(0, 1), capacity=st.sampled_from([0, 3]))
    def crash_or_restart(self, engine: int, capacity: int) -> None:
        self.engines[engine].capacity = capacity
        self.admit()

    @rule(engine=st.integers(0, 1))
    def lose_all_rows(self, engine: int) -> None:
        """Everybody who ran stands where it stood, before those who came later."""
        self.engines[engine].capacity = 0
        for ticket in [ticket for ticket, it in self.running.items() if it.engine == engine]:
            self.engines[engine].requeue(ticket)
            self.seen[ticket] = replace(self.running.pop(ticket), measured=False)
        self.seen = dict(sorted(self.seen.items()))  # tickets are given in the order of coming
        self.engines[engine].settle()
        self.largest[engine] = 0
        self.admit()

    @rule(elapsed_s=st.sampled_from([0.5, 12.0, 31.0]))
    def wait(self, elapsed_s: float) -> None:
        self.now_s += elapsed_s
        self.admit()

    def admit(self) -> None:
        anyone = any(self.lined_up(engine, INTERACTIVE) for engine in range(2))
        pairs = [(admission, self.holding) for admission in self.engines]
        for admission, ticket in admit_everywhere(pairs, self.machine, now_s=self.now_s):
            it = self.seen[ticket]
            key = (it.engine, it.scheduling_class)
            assert admission is self.engines[it.engine]
            assert it.measured
            assert self.lined_up(*key)[0] == ticket
            if it.scheduling_class is EVALUATION and anyone:
                waits = any(self.lined_up(engine, INTERACTIVE) for engine in range(2))
                overdue = self.now_s - max(it.entered_s, self.last_s.get(key, 0.0)) >= 30
                assert overdue or not waits
            self.last_s[key] = self.now_s
            self.running[ticket] = self.seen.pop(ticket)

    @rule(engine=st.integers(0, 1))
    def step(self, engine: int) -> None:
        self.engines[engine].settle()
        self.largest[engine] = self.rectangle(engine)
        self.admit()

    def rectangle(self, engine: int) -> int:
        """Return the bytes of the engine's keys and values, as mlx-lm keeps them."""
        rows = [it.tokens for it in self.running.values() if it.engine == engine]
        return len(rows) * -(-max(rows, default=0) // 256) * 256 * 2

    @invariant()
    def the_peak_fits_the_machine(self) -> None:
        """Until an engine has stepped, its largest rectangle since then may still be there beside the newest."""
        total = self.machine.reserve_bytes
        for index in range(2):
            now = self.rectangle(index)
            self.largest[index] = max(self.largest[index], now)
            total += self.holding.fixed_bytes + now + self.largest[index]
        assert total <= self.machine.limit_bytes

    @invariant()
    def counts_agree_and_limits_hold(self) -> None:
        for index, admission in enumerate(self.engines):
            running = [it for it in self.running.values() if it.engine == index]
            assert admission.running_count == len(running) <= 3
            assert len(running) <= 1 or not any(it.alone for it in running)
            assert sum(it.scheduling_class is EVALUATION for it in running) <= 1
            for scheduling_class in SchedulingClass:
                assert admission.waiting_count_of(scheduling_class) == len(self.lined_up(index, scheduling_class))

    def teardown(self) -> None:
        """Let everything end: everybody who waits is served, whatever keeps coming."""
        for admission in self.engines:
            admission.capacity = 3
        for ticket in [ticket for ticket, it in self.seen.items() if not it.measured]:
            self.seen[ticket].measured = True
            self.engines[self.seen[ticket].engine].measure(ticket, self.seen[ticket].tokens)
        old = set(self.seen)
        for turn in range(60):
            if not old & set(self.seen):
                break
            self.now_s += 31.0
            self.enter(turn % 2, INTERACTIVE, 2000)
            for ticket, it in self.seen.items():
                if not it.measured:
                    it.measured = True
                    self.engines[it.engine].measure(ticket, it.tokens)
            self.admit()
            for ticket in list(self.running):
                self.engines[self.running.pop(ticket).engine].finish(ticket, now_s=self.now_s)
            for admission in self.engines:
                admission.settle()
            self.admit()
        assert not old & set(self.seen), "somebody starves"


TestAdmission = AdmissionMachine.TestCase
