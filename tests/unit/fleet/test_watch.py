"""A process that hangs is told from one that works, and from one that has nothing to do."""

from gateway.fleet.watch import TICKS, Watch


def ticks(watch: Watch, *, running: bool = False, asked: bool = False) -> int:
    """Return how many ticks it takes until the process hangs, 100 at most."""
    return next((count for count in range(1, 101) if watch.tick(running=running, asked=asked)), 100)


def test_requests_that_run_without_a_step_are_a_hang_and_idleness_is_none() -> None:
    assert ticks(Watch(), running=True) == TICKS + 1
    assert ticks(Watch(), asked=True) == TICKS + 1
    assert ticks(Watch()) == 100


def test_the_first_tick_does_not_count_because_the_request_may_have_come_just_before_it() -> None:
    assert not any(Watch().tick(running=True, asked=False) for _ in range(TICKS))


def test_a_step_begins_the_count_anew() -> None:
    watch = Watch()
    for _ in range(3 * TICKS):
        assert not watch.tick(running=True, asked=False)
        watch.stepped()


def test_a_yes_to_another_request_is_no_step() -> None:
    """The thread that reads requests may be well while the one that runs them stands still."""
    watch = Watch()
    hangs = False
    for _ in range(TICKS + 1):
        watch.answered()
        hangs = watch.tick(running=True, asked=False)
    assert hangs


def test_steps_are_no_answer_to_who_asks() -> None:
    watch = Watch()
    hangs = False
    for _ in range(TICKS + 1):
        watch.stepped()
        hangs = watch.tick(running=True, asked=True)
    assert hangs


def test_a_step_that_works_on_many_chunks_has_as_many_times_as_long() -> None:
    watch = Watch()
    assert not any(watch.tick(running=True, asked=False, chunks=3) for _ in range(3 * TICKS))
    assert watch.tick(running=True, asked=False, chunks=3)


def test_work_that_ends_ends_the_count() -> None:
    watch = Watch()
    for _ in range(TICKS - 1):
        watch.tick(running=True, asked=True)
    watch.tick(running=False, asked=False)
    assert ticks(watch, running=True, asked=True) == TICKS + 1
