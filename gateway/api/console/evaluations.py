"""`/evaluations` and `/history`: what was judged, each evaluation's report, and who served when and why."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery
from litestar.response import Template
from markupsafe import Markup

from gateway.contracts.admin import CandidateOutcome, EvaluationSummary
from gateway.contracts.deployments import Promotion, PromotionOutcome
from gateway.contracts.digests import short
from gateway.contracts.evaluations import Evaluation, Outcome
from gateway.service import Gateway

_PERCENT = 100
_LEAST_REACH = 0.1
"""Of the axis that all rows of the list share: a difference of no points fills no picture."""


class IntervalPicture(msgspec.Struct, frozen=True, kw_only=True):
    """A difference on an axis from 0 to 100, zero in the middle."""

    x: float
    low: float
    high: float


class JudgedCandidate(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the list."""

    evaluation: EvaluationSummary
    candidate: CandidateOutcome
    picture: IntervalPicture | None


class Promotable(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate that passed, above its report."""

    reference: str
    serves: bool
    """Whether it is the incumbent already."""


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the audit log, with names in the place of digests."""

    promotion: Promotion
    before: str | None
    after: str


class History(msgspec.Struct, frozen=True, kw_only=True):
    """Of one public model."""

    model: str
    changes: tuple[Changed, ...]
    picture: Mapping[str, Any] | None
    """What `charts.js` draws; None where no evaluation has an accuracy."""


@get("/evaluations")
async def list_evaluations(gateway: NamedDependency[Gateway], model: FromQuery[str | None] = None) -> Template:
    """List what was judged, the latest first, with each candidate's difference from the incumbent."""
    everything = await gateway.evaluations()
    found = [each for each in everything if model in {None, "", each.model}]
    context = {
        "rows": tuple(_rows(found)),
        "models": sorted({each.model for each in everything}),
        "model": model or "",
    }
    return Template("evaluations/list.html", context=context)


@get("/evaluations/{evaluation_id:str}")
async def show_evaluation(evaluation_id: FromPath[str], gateway: NamedDependency[Gateway]) -> Template:
    """Show an evaluation's report, and promote its winner from there."""
    evaluation = await gateway.evaluation(evaluation_id)
    serving = {deployment.incumbent for deployment in await gateway.deployments()}
    context = {
        "evaluation": evaluation,
        "report": Markup(await asyncio.to_thread(_report, evaluation)),  # noqa: S704 - made by a template that escapes
        "promotable": tuple(_promotable(evaluation, serving)),
    }
    return Template("evaluations/show.html", context=context)


@get("/history")
async def show_history(gateway: NamedDependency[Gateway]) -> Template:
    """Show who served when, why that changed, and how accurate what was judged was."""
    references = {view.digest: view.reference for view in await gateway.variants()}
    promotions, evaluations = await gateway.promotions(None), await gateway.evaluations()
    models = dict.fromkeys(each.model for each in (*promotions, *evaluations))
    histories = [
        _history(
            model,
            tuple(_changed(each, references) for each in promotions if each.model == model),
            [each for each in evaluations if each.model == model],
        )
        for model in models
    ]
    return Template("evaluations/history.html", context={"histories": tuple(histories)})


def _report(evaluation: Evaluation) -> str:
    from canary.report.html import body  # noqa: PLC0415 - brings numpy and scipy, and only who looks needs it

    return body(evaluation)


def _rows(evaluations: Sequence[EvaluationSummary]) -> Iterator[JudgedCandidate]:
    reach = max([_LEAST_REACH, *(_reach(each) for found in evaluations for each in found.candidates)])
    for evaluation in evaluations:
        for candidate in evaluation.candidates:
            yield JudgedCandidate(
                evaluation=evaluation, candidate=candidate, picture=_interval_picture(candidate, reach)
            )


def _reach(candidate: CandidateOutcome) -> float:
    ends = (candidate.difference, candidate.difference_low, candidate.difference_high)
    return max(abs(end) for end in ends if end is not None) if candidate.difference is not None else 0.0


def _interval_picture(candidate: CandidateOutcome, reach: float) -> IntervalPicture | None:
    if candidate.difference is None:
        return None
    low = candidate.difference if candidate.difference_low is None else candidate.difference_low
    high = candidate.difference if candidate.difference_high is None else candidate.difference_high
    x, low, high = (50 + 48 * end / reach for end in (candidate.difference, low, high))
    return IntervalPicture(x=round(x, 1), low=round(low, 1), high=round(high, 1))


def _promotable(evaluation: Evaluation, serving: set[str]) -> Iterator[Promotable]:
    """Yield what passed; nothing of a comparison, in which another variant had the incumbent's role."""
    if evaluation.compared_while is not None:
        return
    for system, judgement in zip(evaluation.candidates, evaluation.judgements, strict=True):
        if judgement.verdict.outcome is Outcome.PASSED:
            yield Promotable(reference=system.variant.reference, serves=system.variant.digest in serving)


def _changed(promotion: Promotion, references: Mapping[str, str]) -> Changed:
    before = promotion.from_variant
    return Changed(
        promotion=promotion,
        before=None if before is None else references.get(before, short(before)),
        after=references.get(promotion.to_variant, short(promotion.to_variant)),
    )


def _history(model: str, changes: tuple[Changed, ...], evaluations: Sequence[EvaluationSummary]) -> History:
    points = [
        {
            "at": each.created_at,
            "candidate": candidate.reference,
            "value": _PERCENT * candidate.accuracy,
            "outcome": candidate.outcome,
        }
        for each in evaluations
        for candidate in each.candidates
        if candidate.accuracy is not None
    ]
    done = [
        {"at": each.promotion.at, "kind": each.promotion.kind, "label": each.after}
        for each in changes
        if each.promotion.outcome is not PromotionOutcome.FAILED
    ]
    picture = {"axis": "right, %", "points": points, "changes": done} if points else None
    return History(model=model, changes=changes, picture=picture)


ROUTES: tuple[HTTPRouteHandler, ...] = (list_evaluations, show_evaluation, show_history)
