"""Do several things at once whose results are taken in order, and leave at once where somebody gives up."""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")

_LEAVE_LIMIT_S = 5.0


class Workers(Generic[T]):
    """Threads of daemons: unlike those of a pool in the library, they hold up no process that wants to end."""

    def __init__(self, count: int) -> None:
        self.given_up = threading.Event()
        """Set when the context is left with an error: who waits for something long looks at it."""
        self._work: queue.SimpleQueue[tuple[Future[T], Callable[[], T]] | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(count)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self.given_up.set()
        for _ in self._threads:
            self._work.put(None)
        for thread in self._threads:
            thread.join(None if error is None else _LEAVE_LIMIT_S)

    def submit(self, do: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        self._work.put((future, do))
        return future

    def _run(self) -> None:
        while (item := self._work.get()) is not None:
            future, do = item
            if self.given_up.is_set() or not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(do())
            except BaseException as error:  # noqa: BLE001 - whoever takes the result raises it
                future.set_exception(error)
