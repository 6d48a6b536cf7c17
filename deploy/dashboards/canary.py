"""What the judge said, why, how it went over time, and what changed because of it."""

from grafana_foundation_sdk.models import dashboard as models

from deploy.dashboards.board import Row, board
from deploy.dashboards.panels import (
    BLUE,
    COUNT,
    GREEN,
    GREY,
    ORANGE,
    RED,
    SECONDS,
    SHARE,
    YELLOW,
    Query,
    bars,
    lines,
    name,
    number,
    states,
)
from deploy.dashboards.queries import MODEL, outcome

_OUTCOME_WORDS = {1: ("passed", GREEN), 2: ("inconclusive", YELLOW), 3: ("errored", ORANGE), 4: ("failed", RED)}
_LAST = "Of the last recorded evaluation's winner, else of its best candidate."
_WEEK_S, _MONTH_S = 7 * 86400, 30 * 86400


def dashboard() -> models.Dashboard:
    return board(
        "gateway-canary",
        "Gateway: Canary",
        "What the last evaluation of each model and suite said, and what changed because of it. The cases are in"
        " `canary report ID`.",
        (_verdict(), _why(), _over_time(), _running(), _changes()),
        since="now-7d",
    )


def _verdict() -> Row:
    return Row(
        "What did the judge say?",
        (
            number(
                "Verdict",
                f"The worst outcome of the required criteria. {_LAST}",
                Query(outcome("canary_evaluation_outcome", "model", "suite"), "{{model}}, {{suite}}"),
                width=6,
                words=_OUTCOME_WORDS,
                empty="nothing evaluated",
            ),
            number(
                "Age of the evaluation",
                "The gate refuses one that is older than its `max_age_s`.",
                Query(
                    f"time() - max by (model, suite) (canary_evaluation_timestamp_seconds{{{MODEL}}})",
                    "{{model}}, {{suite}}",
                ),
                unit=SECONDS,
                width=6,
                steps=((None, GREEN), (_WEEK_S, YELLOW), (_MONTH_S, RED)),
                empty="nothing evaluated",
            ),
            number(
                "Accuracy",
                f"Share of the cases that were answered rightly, by role. {_LAST}",
                Query(f"canary_accuracy_ratio{{{MODEL}}}", "{{suite}}: {{role}}"),
                unit=SHARE,
                width=6,
                empty="nothing evaluated",
            ),
            number(
                "Difference, with its 95 % interval",
                "Candidate minus incumbent, over the cases that both answered. An interval that holds 0 says that the"
                f" cases cannot tell them apart. {_LAST}",
                Query(f"canary_accuracy_difference_ratio{{{MODEL}}}", "{{suite}}: {{bound}}"),
                unit=SHARE,
                width=6,
                empty="nothing evaluated",
            ),
        ),
    )


def _why() -> Row:
    return Row(
        "Why did it say so?",
        (
            states(
                "Criteria",
                "Each criterion's outcome, from evaluation to evaluation.",
                Query(outcome("canary_criterion_outcome", "suite", "criterion"), "{{suite}}: {{criterion}}"),
                words=_OUTCOME_WORDS,
            ),
            bars(
                "Accuracy by category",
                f"Where the candidate is weaker than the incumbent. {_LAST}",
                Query(f"canary_category_accuracy_ratio{{{MODEL}}}", "{{suite}}, {{category}}: {{role}}"),
                unit=SHARE,
                highest=1,
            ),
            bars(
                "Times and memory, candidate over incumbent",
                "1 is alike, below it the candidate is faster or smaller. The bounds are those of the 95 % interval."
                f" {_LAST}",
                Query(f"canary_metric_ratio{{{MODEL}}}", "{{suite}}, {{metric}}: {{bound}}"),
                unit=COUNT,
                steps=((None, GREEN), (1.05, ORANGE), (1.25, RED)),
            ),
        ),
    )


def _over_time() -> Row:
    return Row(
        "How did it go over time?",
        (
            lines(
                "Accuracy of candidates and incumbents",
                "A step is a new evaluation.",
                Query(f"canary_accuracy_ratio{{{MODEL}}}", "{{suite}}: {{role}}"),
                unit=SHARE,
            ),
            lines(
                "Accuracy, with its 95 % interval",
                "Intervals that overlap are no proof that the two are equal: the difference above is what decides.",
                Query(f"canary_accuracy_bound_ratio{{{MODEL}}}", "{{suite}}: {{role}}, {{bound}}"),
                unit=SHARE,
            ),
            lines(
                "Candidates judged, by outcome",
                "Since the gateway began.",
                Query(
                    f"sum by (suite, outcome) (canary_evaluations_total{{{MODEL}}})",
                    "{{suite}}: {{outcome}}",
                ),
                unit=COUNT,
            ),
        ),
    )


def _running() -> Row:
    return Row(
        "What runs now?",
        (
            number(
                "Evaluation",
                "Whether canary says that one runs. It shares the accelerator with production, which may be slower.",
                Query(f"max by (model, suite) (canary_evaluation_running{{{MODEL}}})", "{{model}}, {{suite}}"),
                width=8,
                words={0: ("none", GREY), 1: ("runs", BLUE)},
                empty="none",
            ),
            number(
                "Trials done",
                "Of those that the run has planned.",
                Query(f"max by (model, suite) (canary_evaluation_progress_ratio{{{MODEL}}})", "{{model}}, {{suite}}"),
                unit=SHARE,
                width=8,
                empty="none",
            ),
            name(
                "Phase",
                "What the run does at the moment.",
                Query(f"canary_evaluation_phase{{{MODEL}}} == 1", "{{suite}}: {{phase}}"),
                width=8,
                empty="none",
            ),
        ),
    )


def _changes() -> Row:
    return Row(
        "What changed?",
        (
            states(
                "Who served when",
                "The variant behind each public model name.",
                Query(f"max by (model, variant) (gateway_incumbent_info{{{MODEL}}})", "{{model}}: {{variant}}"),
                width=12,
                words={1: ("serves", BLUE)},
            ),
            lines(
                "Promotions and rollbacks, by how they ended",
                "Since the gateway began. `override` went past the judge, with a reason that `canary history` shows;"
                " `unverified` was done, and what serves could not be read back.",
                Query(
                    f"sum by (kind, outcome) (gateway_promotions_total{{{MODEL}}})",
                    "{{kind}}: {{outcome}}",
                ),
                unit=COUNT,
                width=12,
            ),
        ),
    )
