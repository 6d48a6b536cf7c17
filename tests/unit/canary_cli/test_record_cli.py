"""`canary judge RECORD`: a record is judged again, and what it says is compared."""

from pathlib import Path

import msgspec
import pytest

from canary import cli
from canary.errors import ExitCode
from canary.judge import judge
from gateway.contracts.evaluations import Criterion, Evaluation, Metric, Outcome, Profile, Rule
from tests.support.evaluations import make_evaluation

CRITERIA = (
    Criterion(name="accuracy", metric=Metric.ACCURACY, rule=Rule.AT_LEAST, bound=0.8),
    Criterion(name="margin", metric=Metric.ACCURACY, rule=Rule.NO_WORSE_THAN, bound=0.05),
)


def record(right: float, *, profile: Profile = "full", count: int = 400) -> Evaluation:
    bare = make_evaluation({"a": [1.0] * count, "b": [right] * count}, profile=profile, criteria=CRITERIA)
    return msgspec.structs.replace(bare, judgements=judge(bare))


def judged(directory: Path, evaluation: Evaluation) -> int:
    file = directory / "record.json"
    file.write_bytes(msgspec.json.encode(evaluation))
    return cli.run(["judge", str(file)])


@pytest.mark.parametrize(
    ("evaluation", "code"),
    [
        (record(1.0), ExitCode.PASSED),
        (record(0.0), ExitCode.FAILED),
        (record(1.0, count=40), ExitCode.INCONCLUSIVE),
        (record(1.0, profile="seed", count=40), ExitCode.PASSED),
    ],
)
def test_a_record_gets_the_status_of_its_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], evaluation: Evaluation, code: ExitCode
) -> None:
    assert judged(tmp_path, evaluation) == code
    assert "The record says the same of it." in capsys.readouterr().out


def test_the_verdict_and_where_the_reading_stopped_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judged(tmp_path, record(1.0))
    assert "passed, decided by accuracy, margin, after 200 of 400 planned cases" in capsys.readouterr().out


def test_a_record_that_says_something_else_is_errored_and_the_place_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = record(0.0)
    verdict = msgspec.structs.replace(failed.judgements[0].verdict, outcome=Outcome.PASSED)
    forged = msgspec.structs.replace(
        failed, judgements=(msgspec.structs.replace(failed.judgements[0], verdict=verdict),)
    )
    assert judged(tmp_path, forged) == ExitCode.ERRORED
    assert "holds another judgement: verdict: passed against failed" in capsys.readouterr().err


def test_a_record_without_judgements_is_judged(tmp_path: Path) -> None:
    assert judged(tmp_path, msgspec.structs.replace(record(1.0), judgements=())) == ExitCode.PASSED


def test_a_record_that_contradicts_itself_is_errored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert judged(tmp_path, msgspec.structs.replace(record(1.0), cases=())) == ExitCode.ERRORED
    assert "contradicts itself" in capsys.readouterr().err


def test_a_judgement_too_few_is_errored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sound = record(1.0)
    twice = msgspec.structs.replace(sound, judgements=sound.judgements * 2)
    assert judged(tmp_path, twice) == ExitCode.ERRORED
    assert "2 judgements of 1 candidates" in capsys.readouterr().err


def test_what_is_no_record_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text('{"id": 1}')
    assert cli.run(["judge", str(tmp_path / "record.json")]) == ExitCode.USAGE
    assert cli.run(["judge", str(tmp_path / "absent.json")]) == ExitCode.USAGE


@pytest.mark.parametrize(
    ("part", "code"), [(1e-8, ExitCode.ERRORED), (-1e-8, ExitCode.ERRORED), (1e-10, ExitCode.PASSED)]
)
@pytest.mark.parametrize("of", ["comparison", "result"])
def test_numbers_may_differ_by_what_another_library_rounds_and_no_more(
    tmp_path: Path, part: float, code: ExitCode, of: str
) -> None:
    sound = record(1.0)
    (judgement,) = sound.judgements
    if of == "comparison":
        first, *others = judgement.comparisons
        assert first.candidate.low
        level = msgspec.structs.replace(first.candidate, low=first.candidate.low * (1 + part))
        changed = {"comparisons": (msgspec.structs.replace(first, candidate=level), *others)}
    else:
        result, *further = judgement.results
        assert result.low
        changed = {"results": (msgspec.structs.replace(result, low=result.low * (1 + part)), *further)}
    forged = msgspec.structs.replace(judgement, **changed)
    assert judged(tmp_path, msgspec.structs.replace(sound, judgements=(forged,))) == code
