"""What clients get: does it answer, how fast, how full is it, and how much may still go wrong."""

from grafana_foundation_sdk.models import dashboard as models

from deploy.dashboards.board import Row, board
from deploy.dashboards.panels import (
    COUNT,
    GREEN,
    ORANGE,
    RED,
    REQUESTS_PER_S,
    SECONDS,
    SHARE,
    TOKENS_PER_S,
    YELLOW,
    Query,
    Steps,
    heat,
    lines,
    name,
    number,
)
from deploy.dashboards.queries import INSTANCE, MODEL, SERVED, percentiles, quantile, rate

_SLO_RULES = "`deploy/prometheus/rules/objectives.yml`"
_ERROR_BUDGET, _SLOW_BUDGET = 0.01, 0.05
_FIRST_TOKEN_LIMIT_S = 5.0
_BURNED: Steps = ((None, GREEN), (1, YELLOW), (6, ORANGE), (14.4, RED))


def dashboard() -> models.Dashboard:
    return board(
        "gateway-serving",
        "Gateway: Serving",
        "What clients get. Trials of an evaluation count on the Canary dashboard only.",
        (_up(), _answers(), _fast(), _full(), _budget()),
        since="now-1h",
    )


def _up() -> Row:
    return Row(
        "Is it up, and what serves?",
        (
            number(
                "Gateway",
                "Whether Prometheus reaches `/metrics`.",
                Query(f'min(up{{job="gateway", {INSTANCE}}})'),
                width=3,
                words={0: ("down", RED), 1: ("up", GREEN)},
            ),
            name(
                "Version",
                "Of the gateway that runs.",
                Query(f"gateway_build_info{{{INSTANCE}}}", "{{version}}"),
                width=3,
                empty="unknown",
            ),
            number(
                "Incumbents",
                "Whether every engine that serves a model's incumbent takes requests. One that is unloaded because"
                " nobody used it counts as ready.",
                Query(f'min(gateway_engine_up{{{INSTANCE}, role="incumbent"}})'),
                words={0: ("not ready", RED), 1: ("ready", GREEN)},
            ),
            name(
                "Who answers",
                "The variant behind each public model name.",
                Query(f"gateway_incumbent_info{{{MODEL}}}", "{{model}}: {{variant}}"),
                width=6,
                empty="no incumbent",
            ),
            number(
                "Errors, last hour",
                f"Share of requests that ended in a 5xx. The objective is 1 %: {_SLO_RULES}.",
                Query(f"max(instance:gateway_request_errors:ratio_rate1h{{{INSTANCE}}})"),
                unit=SHARE,
                steps=((None, GREEN), (_ERROR_BUDGET, ORANGE), (10 * _ERROR_BUDGET, RED)),
                empty="no requests",
            ),
            number(
                "First token, 95th percentile",
                f"Of what clients were answered lately. The objective is {_FIRST_TOKEN_LIMIT_S:g} s: {_SLO_RULES}.",
                Query(quantile(0.95, "gateway_time_to_first_token_seconds", SERVED)),
                unit=SECONDS,
                steps=((None, GREEN), (_FIRST_TOKEN_LIMIT_S, RED)),
                empty="no requests",
            ),
        ),
    )


def _answers() -> Row:
    return Row(
        "Does it answer?",
        (
            lines(
                "Requests by status",
                "Requests that got their terminal answer. 499 is a client that left, or would not read its stream. An"
                " answer that broke off after its first event keeps the 200 that it began with.",
                Query(rate("gateway_requests_total", SERVED, "status"), "{{status}}"),
                unit=REQUESTS_PER_S,
                stacked=True,
            ),
            lines(
                "Requests refused, by reason",
                "They got no row: the line was full, they waited too long, they can never fit, or the engine rests.",
                Query(rate("gateway_requests_refused_total", INSTANCE, "class", "reason"), "{{class}}: {{reason}}"),
                unit=REQUESTS_PER_S,
                stacked=True,
            ),
            lines(
                "Requests given up by their clients, by stage",
                "A client left, or stopped reading: while it waited, while its prompt was read, or while it was"
                " answered.",
                Query(rate("gateway_requests_cancelled_total", INSTANCE, "stage"), "{{stage}}"),
                unit=REQUESTS_PER_S,
                stacked=True,
            ),
            lines(
                "Requests over a limit of their key",
                "429 because of `requests_per_min`, `tokens_per_min` or `max_concurrent` of the key.",
                Query(rate("gateway_requests_over_key_limit_total", INSTANCE, "limit"), "{{limit}}"),
                unit=REQUESTS_PER_S,
                width=12,
            ),
            lines(
                "Requests run again",
                "Their engine failed before anything had been sent to the client, which noticed nothing but the time.",
                Query(rate("gateway_requests_run_again_total", INSTANCE, "class"), "{{class}}"),
                unit=REQUESTS_PER_S,
                width=12,
            ),
        ),
    )


def _fast() -> Row:
    return Row(
        "Is it fast?",
        (
            lines(
                "Time to first token",
                "From a request's arrival: waiting in line and reading the prompt. The dots are requests: `request_id`"
                " is the `x-request-id` of its answer and of its line in the log.",
                *percentiles("gateway_time_to_first_token_seconds", SERVED, exemplars=True),
                unit=SECONDS,
                limit=_FIRST_TOKEN_LIMIT_S,
            ),
            lines(
                "Time between tokens",
                "The gaps that a reader of a stream sees.",
                *percentiles("gateway_inter_token_seconds", SERVED),
                unit=SECONDS,
            ),
            lines(
                "Time per output token",
                "Of each whole answer: from its first token to its end, divided by the tokens between.",
                *percentiles("gateway_time_per_output_token_seconds", SERVED),
                unit=SECONDS,
            ),
            lines(
                "Duration of requests",
                "From arrival to the last byte. The dots are requests, as above.",
                *percentiles("gateway_request_duration_seconds", SERVED, exemplars=True),
                unit=SECONDS,
                width=12,
            ),
            heat(
                "Time to first token, all of it",
                "Two bands are two kinds of prompts, or prompts that are in the prefix cache and others.",
                Query(
                    rate("gateway_time_to_first_token_seconds_bucket", SERVED, "le"),
                    "{{le}}",
                    exemplars=True,
                ),
                unit=SECONDS,
                width=12,
            ),
        ),
    )


def _full() -> Row:
    return Row(
        "Is it full?",
        (
            lines(
                "Requests that run and wait",
                "Running ones hold a row of an engine. The others wait in the line of their class.",
                Query(f"sum(gateway_requests_running{{{INSTANCE}}})", "running"),
                Query(f"sum by (class) (gateway_requests_queued{{{INSTANCE}}})", "{{class}} waiting"),
                unit=COUNT,
            ),
            lines(
                "Time in line, 95th percentile",
                "From a request's coming to its row.",
                Query(quantile(0.95, "gateway_queue_wait_seconds", INSTANCE, "class"), "{{class}}"),
                unit=SECONDS,
            ),
            lines(
                "Tokens",
                "Prompts read, answers generated; of the prompts, what the prefix cache had.",
                Query(rate("gateway_tokens_total", MODEL, "type"), "{{type}}"),
                unit=TOKENS_PER_S,
            ),
        ),
    )


def _budget() -> Row:
    meaning = (
        "1 spends the budget of 30 days in 30 days. Above 14.4 for an hour, or 6 for six hours, it pages. A window"
        " without requests has no value."
    )
    return Row(
        "How much may still go wrong?",
        (
            lines(
                "Error budget, how fast it burns",
                f"Errors over the 1 % that the objective allows. {meaning}",
                *_burning("gateway_request_errors", _ERROR_BUDGET),
                unit=COUNT,
                width=10,
                limit=14.4,
            ),
            lines(
                "First-token budget, how fast it burns",
                f"Requests later than {_FIRST_TOKEN_LIMIT_S:g} s over the 5 % that the objective allows. {meaning}",
                *_burning("gateway_slow_first_tokens", _SLOW_BUDGET),
                unit=COUNT,
                width=10,
                limit=14.4,
            ),
            number(
                "Burning now",
                "The faster of the two, over the last hour.",
                Query(f"max(instance:gateway_request_errors:ratio_rate1h{{{INSTANCE}}}) / {_ERROR_BUDGET}", "errors"),
                Query(f"max(instance:gateway_slow_first_tokens:ratio_rate1h{{{INSTANCE}}}) / {_SLOW_BUDGET}", "slow"),
                height=8,
                steps=_BURNED,
                empty="no requests",
            ),
        ),
    )


def _burning(level: str, budget: float) -> tuple[Query, ...]:
    return tuple(
        Query(f"max(instance:{level}:ratio_rate{window}{{{INSTANCE}}}) / {budget}", window)
        for window in ("5m", "1h", "6h")
    )
