"""`gateway demo`, once, for real: that the story is told to its end, and not how it ends."""

import hashlib
import os
import re
import shutil
from pathlib import Path

import pytest

from gateway.contracts.deployments import PromotionKind
from gateway.contracts.digests import short
from gateway.contracts.evaluations import Evaluation, Outcome
from gateway.contracts.jobs import CONVERSION_VERSION
from gateway.embedded import MODEL_NAME
from gateway.registry import Registry
from tests.support.models import gguf, quantised_model
from tests.support.programs import run

DEMO_LIMIT_S = 580


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    """A state directory with the demo's builds, under the digest of what they were made of; their files are linked."""
    with gguf().open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    home = tmp_path / "state" / "models" / f"{short(digest)}-v{CONVERSION_VERSION}"
    for bits in (8, 5, 4):
        shutil.copytree(quantised_model(bits), home / f"{MODEL_NAME}-{bits}bit", copy_function=os.symlink)
    return tmp_path / "state"


@pytest.mark.model
@pytest.mark.timeout(600)
@pytest.mark.anyio
async def test_the_demo_judges_two_builds_and_serves_the_one_that_won(state_dir: Path) -> None:
    ended = run(
        "gateway",
        *("demo", "--exit-when-done", "--port", "0", "--state-dir", state_dir),
        cwd=state_dir,
        timeout_s=DEMO_LIMIT_S,
    )
    assert ended.returncode == 0, ended.stderr
    told = ended.stdout
    for chapter in (
        "Decision matrix",
        "Accuracy, overall",
        "Load time",
        "Memory, predicted",
        "Memory, measured",
        "Criteria: 5bit",
        "Criteria: 4bit",
        "Verdicts",
        "Flipped cases: 5bit",
        "curl http://127.0.0.1:",
        '"temperature": 0',
        "Stopped.",
    ):
        assert chapter in told
    fates = dict(re.findall(rf"^{MODEL_NAME}-(\dbit)@\w+: ([a-z, ]+)", told, re.MULTILINE))
    assert set(fates) == {"5bit", "4bit"}

    registry = await Registry.open(state_dir / "demo")
    try:
        (summary,) = await registry.evaluations()
        evaluation = await registry.evaluation(summary.id)
        (deployment,) = await registry.deployments()
        kinds = [promotion.kind for promotion in await registry.promotions(MODEL_NAME)]
        incumbent = (await registry.variant(deployment.incumbent)).variant.name
    finally:
        await registry.close()
    assert f"Evaluation {evaluation.id}" in told
    assert len(evaluation.trials) == 3 * len(evaluation.cases)
    promoted = [width for width, fate in fates.items() if fate == "promoted"]
    assert len(promoted) == (1 if passed(evaluation) else 0)
    assert kinds.count(PromotionKind.PROMOTE) == len(promoted)
    assert incumbent == f"{MODEL_NAME}-{promoted[0] if promoted else '8bit'}"
    assert set(promoted) <= passed(evaluation)


def passed(evaluation: Evaluation) -> set[str]:
    """Return the widths that passed, such as `5bit`."""
    return {
        system.variant.name.removeprefix(f"{MODEL_NAME}-")
        for system, judgement in zip(evaluation.candidates, evaluation.judgements, strict=True)
        if judgement.verdict.outcome is Outcome.PASSED
    }
