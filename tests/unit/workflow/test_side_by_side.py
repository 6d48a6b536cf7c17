"""Things done at once: their results, their failures, and an end that waits for nobody who hangs."""

import threading

import pytest

from canary.side_by_side import Workers


def test_results_are_taken_in_whatever_order() -> None:
    with Workers[int](3) as workers:
        futures = [workers.submit(lambda number=number: number * number) for number in range(20)]
        assert [future.result(10) for future in reversed(futures)] == [number**2 for number in reversed(range(20))]


def test_as_many_run_at_once_as_there_are_workers() -> None:
    together = threading.Barrier(4)
    with Workers[int](4) as workers:
        futures = [workers.submit(lambda: together.wait(10)) for _ in range(4)]
        assert sorted(future.result(10) for future in futures) == [0, 1, 2, 3]


def test_a_failure_is_raised_where_its_result_is_taken_and_others_go_on() -> None:
    def fail() -> int:
        raise LookupError("gone")

    with Workers[int](1) as workers:
        failing, other = workers.submit(fail), workers.submit(lambda: 5)
        with pytest.raises(LookupError, match="gone"):
            failing.result(10)
        assert other.result(10) == 5


def test_who_leaves_in_an_error_begins_nothing_more_and_tells_those_who_run() -> None:
    begun, done = threading.Event(), list[str]()

    def long(workers: Workers[None]) -> None:
        begun.set()
        workers.given_up.wait(10)
        done.append("told")

    def interrupted() -> None:
        with Workers[None](1) as workers:
            workers.submit(lambda: long(workers))
            workers.submit(lambda: done.append("never"))
            assert begun.wait(10)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert done == ["told"]


def test_what_was_cancelled_is_not_begun() -> None:
    held, ran = threading.Event(), list[str]()
    with Workers[None](1) as workers:
        first = workers.submit(lambda: (held.wait(10), None)[1])
        second = workers.submit(lambda: ran.append("second"))
        assert second.cancel()
        held.set()
        first.result(10)
    assert ran == []
