"""The gateway is killed (SIGKILL) at each point of a swap: what starts after it serves what is recorded."""

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.contracts.admin import SwapWay
from gateway.contracts.deployments import PromotionOutcome
from gateway.fleet.swap import SwapPoint
from gateway.registry import StateLock
from tests.support.swapping import reopened

ROOT = Path(__file__).parents[2]
COMMITTED = frozenset({SwapPoint.COMMITTED, SwapPoint.SWITCHED, SwapPoint.OLD_LEAVING, SwapPoint.CONFIRMED})
"""From the first of these on, the registry says the new one."""
CASES = [
    *(f"{SwapWay.IN_TURN}:{point}" for point in SwapPoint),
    # Where both engines live, which they never do in turn.
    f"{SwapWay.BESIDE}:{SwapPoint.CHECKED}",
    f"{SwapWay.BESIDE}:{SwapPoint.COMMITTED}",
]

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the state directories that the killed gateways have left."""
    directory = tmp_path_factory.mktemp("killed")
    command = [sys.executable, "-m", "tests.support.killed_swap", str(directory), *CASES]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    told = [line for line in run.stdout.splitlines() if line.partition(" ")[0] in CASES]
    assert told == [f"{case} SIGKILL" for case in CASES], run.stderr
    return directory


@pytest.mark.parametrize("case", CASES)
async def test_after_a_kill_at_any_point_of_a_swap_what_the_registry_says_is_what_serves(
    killed: Path, case: str
) -> None:
    expected = "new" if case.partition(":")[2] in COMMITTED else "old"
    with StateLock(killed / case):
        async with reopened(killed / case) as it:
            deployment = await it.deployment()
            assert deployment.incumbent == it.variants[expected].digest
            assert it.loaded() == {expected}
            assert (await it.ask()).text == expected
            assert it.gateway.readiness().ready
            log = [(promotion.outcome, promotion.revision) for promotion in await it.log()]
            assert log == ([(PromotionOutcome.DONE, 2)] if expected == "new" else [])
            assert deployment.revision == (2 if expected == "new" else 1)
