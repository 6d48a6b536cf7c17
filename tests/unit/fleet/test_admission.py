"""Rules of the line before an engine's rows."""

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.fleet.admission import Admission, Admitted, Refused, Waiting


def test_rows_are_taken_until_none_is_left_and_the_line_until_it_is_full() -> None:
    admission = Admission(max_queued=1, capacity=1)
    assert admission.arrive(1, now_s=0) == Admitted()
    assert admission.arrive(2, now_s=0) == Waiting()
    assert isinstance(admission.arrive(3, now_s=0), Refused)


def test_a_finished_request_admits_the_first_in_line() -> None:
    admission = Admission(max_queued=2, capacity=1)
    for ticket in (1, 2, 3):
        admission.arrive(ticket, now_s=0)
    assert admission.finish(1, now_s=1) == [2]
    assert admission.finish(2, now_s=2) == [3]


def test_nobody_overtakes_the_line_when_a_row_is_free() -> None:
    admission = Admission(max_queued=5, capacity=0)
    admission.arrive(1, now_s=0)
    admission.resize(1, now_s=0)
    admission.finish(1, now_s=1)
    admission.resize(0, now_s=1)
    admission.arrive(2, now_s=1)
    admission.capacity = 1  # the resize that would admit ticket 2 has not run yet
    assert admission.arrive(3, now_s=1) == Waiting()


def test_opening_the_rows_admits_as_many_as_there_are() -> None:
    admission = Admission(max_queued=5)
    for ticket in range(4):
        assert admission.arrive(ticket, now_s=0) == Waiting()
    assert admission.resize(3, now_s=1) == [0, 1, 2]


@given(st.integers(0, 50), st.integers(1, 8))
def test_the_expected_wait_grows_with_those_ahead(ahead: int, capacity: int) -> None:
    admission = Admission(max_queued=100, capacity=capacity)
    assert 1.0 <= admission.expected_wait_s(ahead) <= admission.expected_wait_s(ahead + 1)


def test_the_expected_wait_follows_how_long_requests_took() -> None:
    admission = Admission(max_queued=100, capacity=1)
    for ticket in range(50):
        admission.arrive(ticket, now_s=ticket * 10.0)
        admission.finish(ticket, now_s=ticket * 10.0 + 8.0)
    assert 15.0 < admission.expected_wait_s(1) < 17.0


class AdmissionMachine(RuleBasedStateMachine):
    """Whatever the order of events: rows are never over the capacity they were given at, and nobody is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.admission = Admission(max_queued=4, capacity=2)
        self.now_s = 0.0
        self.next_ticket = 0
        self.running: set[int] = set()
        self.waiting: list[int] = []

    def _note(self, admitted: list[int]) -> None:
        assert admitted == self.waiting[: len(admitted)]
        del self.waiting[: len(admitted)]
        self.running.update(admitted)

    @rule(elapsed_s=st.floats(0, 5))
    def arrive(self, elapsed_s: float) -> None:
        self.now_s += elapsed_s
        ticket = self.next_ticket
        self.next_ticket += 1
        match self.admission.arrive(ticket, now_s=self.now_s):
            case Admitted():
                self.running.add(ticket)
            case Waiting():
                self.waiting.append(ticket)
            case Refused(retry_after_s=retry_after_s):
                assert len(self.waiting) == self.admission.max_queued
                assert retry_after_s >= 1

    @precondition(lambda self: bool(self.running))
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(sorted(self.running)))
        self.running.remove(ticket)
        self._note(self.admission.finish(ticket, now_s=self.now_s))

    @precondition(lambda self: bool(self.waiting))
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(self.waiting))
        self.waiting.remove(ticket)
        self.admission.leave(ticket)

    @rule(capacity=st.integers(0, 3))
    def resize(self, capacity: int) -> None:
        self._note(self.admission.resize(capacity, now_s=self.now_s))

    @invariant()
    def counts_agree(self) -> None:
        assert self.admission.running_count == len(self.running)
        assert self.admission.waiting_count == len(self.waiting)

    @invariant()
    def nobody_waits_beside_a_free_row(self) -> None:
        assert not self.waiting or len(self.running) >= self.admission.capacity


TestAdmission = AdmissionMachine.TestCase
