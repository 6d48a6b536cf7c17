"""`python -m tests.support.killed_swap DIRECTORY WAY:POINT...`: gateways that kill themselves during a swap.

Each serves `old` in a state directory of its own, DIRECTORY/WAY:POINT, and promotes `new` by override; on the way to a
point of restoration, `broken`, which does not load. They are forked from one process that has imported everything once.
Prints, line by line, the case and the signal that ended it.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from gateway.contracts.admin import SwapWay
from gateway.errors import GatewayError
from gateway.fleet.swap import SwapPoint
from gateway.registry import StateLock
from gateway.settings import MemorySettings
from tests.support.swapping import ROOM_FOR_ONE, SIZE, swapping

SCRIPTS = {
    "old": SIZE + 'default_text = "old"',
    "new": SIZE + 'default_text = "new"',
    "broken": SIZE + 'load_failure = "it is broken"',
}
RESTORATION = frozenset({SwapPoint.RESTORING, SwapPoint.RESTORED})


async def swap_and_die(state_dir: Path, way: SwapWay, point: SwapPoint) -> None:
    memory = ROOM_FOR_ONE if way is SwapWay.IN_TURN else MemorySettings()
    with StateLock(state_dir):
        async with swapping(state_dir, SCRIPTS, memory=memory) as it:
            it.points.then[point] = lambda: os.kill(os.getpid(), signal.SIGKILL)
            try:
                await it.promote("broken" if point in RESTORATION else "new")
            except GatewayError as error:
                sys.stderr.write(f"{error.message}\n")


def main(directory: Path, cases: list[str]) -> None:
    for case in cases:
        way, _, point = case.partition(":")
        child = os.fork()
        if child == 0:
            asyncio.run(swap_and_die(directory / case, SwapWay(way), SwapPoint(point)))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        ended_by = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else "nothing"
        sys.stdout.write(f"{case} {ended_by}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
