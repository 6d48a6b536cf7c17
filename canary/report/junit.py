"""Write one Evaluation as JUnit XML, which build servers show and fail by: a candidate is a suite of tests."""

import itertools

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite
from junitparser.junitparser import FinalResult

from canary.report.escaping import shortened, visible
from canary.report.flips import Answer, Flip, FlippedCases
from canary.report.quantities import rule
from canary.report.view import view_of
from gateway.contracts.evaluations import CriterionResult, Evaluation, Judgement, Outcome


def junit_of(evaluation: Evaluation) -> str:
    """Return the document: a test for each criterion, and one for each flipped case with both answers.

    What decides fails here as it does in the verdict: an inconclusive criterion is a failure of that type. Advisory
    ones and flipped cases decide nothing, so they never fail; the answers of a flip are in its output.
    Raises canary.judge.InconsistentRecord where the record contradicts itself.
    """
    document = JUnitXml(visible(f"Evaluation {evaluation.id}"))
    view = view_of(evaluation)
    for system, judgement, flipped in zip(evaluation.candidates, evaluation.judgements, view.flips, strict=True):
        suite = TestSuite(visible(f"{evaluation.suite.name}: {system.variant.reference}"))
        suite.timestamp = evaluation.created_at
        for name, value in view.identity:
            suite.add_property(name, visible(value))
        suite.add_testcases([*_criteria(judgement), *_flips(flipped)])
        document.add_testsuite(suite)
    return str(document.tostring(), "utf-8")  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType] - untyped


def _criteria(judgement: Judgement) -> list[TestCase]:
    cases = [_criterion(result) for result in judgement.results]
    if not judgement.verdict.decided_by:
        # Nothing above fails, and the verdict is inconclusive all the same.
        case = TestCase("verdict", "criteria")
        case.result = [Failure("no required criterion was judged", judgement.verdict.outcome)]
        cases.append(case)
    return cases


def _criterion(result: CriterionResult) -> TestCase:
    case = TestCase(visible(result.criterion.name), "criteria")
    case.result = _result(result)
    case.system_out = visible(f"{rule(result.criterion)}: {result.reason}")
    return case


def _result(result: CriterionResult) -> list[FinalResult]:
    reason = visible(result.reason)
    if result.outcome is Outcome.PASSED:
        return []
    if not result.required:
        return [Skipped(f"advisory, {result.outcome}: {reason}")]
    kind = Error if result.outcome is Outcome.ERRORED else Failure
    return [kind(reason, result.outcome)]


def _flips(flipped: FlippedCases) -> list[TestCase]:
    kinds = itertools.chain(
        ((flip, "incumbent right, candidate wrong") for flip in flipped.lost),
        ((flip, "incumbent wrong, candidate right") for flip in flipped.gained),
    )
    return [_flip(flip, kind) for flip, kind in kinds]


def _flip(flip: Flip, kind: str) -> TestCase:
    case = TestCase(visible(flip.case_id), visible(f"flipped: {kind}"))
    case.system_out = "\n".join(
        (
            f"{visible(flip.category)}: {shortened(flip.prompt)}",
            f"expected:  {shortened(flip.expectation)}",
            _answer("incumbent", flip.incumbent),
            _answer("candidate", flip.candidate),
        )
    )
    return case


def _answer(role: str, answer: Answer) -> str:
    return f"{role}: {shortened(answer.text)}  (grade {answer.grade:g}: {shortened(answer.reason)})"
