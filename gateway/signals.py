"""What SIGTERM and SIGINT mean from the first moment to the last: one asks for the end, two mean now."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

_NUMBERS = (signal.SIGTERM, signal.SIGINT)


def _nothing() -> None:
    """What a signal does before anybody says what else."""


class Signals:
    """Use as a context; outside it, the signals do again what they do by default."""

    def __init__(self) -> None:
        self.on_first: Callable[[], None] = _nothing
        self.on_second: Callable[[], None] = _nothing
        self.urgent = False
        """Whether a second one has come."""
        self._first = asyncio.Event()

    @property
    def received(self) -> bool:
        return self._first.is_set()

    def __enter__(self) -> Self:
        for number in _NUMBERS:
            asyncio.get_running_loop().add_signal_handler(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number in _NUMBERS:
            asyncio.get_running_loop().remove_signal_handler(number)

    async def unless_received(self, work: Awaitable[None]) -> None:
        """Do the work; where a signal comes, cancel it. Raises what the work raises."""
        working = asyncio.ensure_future(work)
        received = asyncio.ensure_future(self._first.wait())
        try:
            await asyncio.wait({working, received}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                working.cancel()
                await asyncio.wait({working})
        finally:
            received.cancel()
        if not working.cancelled():
            working.result()

    def _note(self) -> None:
        if self._first.is_set():
            self.urgent = True
            self.on_second()
            return
        self._first.set()
        self.on_first()
