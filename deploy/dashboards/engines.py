"""The engines and the memory that they share: are they well, do they fit, and how well do they decode."""

from grafana_foundation_sdk.models import dashboard as models

from deploy.dashboards.board import Row, board
from deploy.dashboards.panels import (
    BYTES,
    COUNT,
    GREEN,
    ORANGE,
    RED,
    SECONDS,
    SHARE,
    TOKENS_PER_S,
    Query,
    heat,
    lines,
    number,
)
from deploy.dashboards.queries import INSTANCE, MODEL, growth, quantile, rate

_NEAR_LIMIT = 0.9
"""Of the recommended working set; beyond it MLX slows down."""
_STEPS_PER_S = "suffix: steps/s"


def dashboard() -> models.Dashboard:
    return board(
        "gateway-engine-memory",
        "Gateway: Engine & memory",
        "The engine processes, the memory that they share with everything else on the machine, and their batches.",
        (_well(), _fit(), _decoding(), _prefixes(), _swaps()),
        since="now-6h",
    )


def _well() -> Row:
    return Row(
        "Is every engine well?",
        (
            number(
                "Engines",
                "By role: whether all of them take requests.",
                Query(f"min by (role) (gateway_engine_up{{{INSTANCE}}})", "{{role}}"),
                words={0: ("not ready", RED), 1: ("ready", GREEN)},
            ),
            number(
                "Breaker",
                "Open: an engine failed again and again, rests, and its requests are refused for a while.",
                Query(f"max by (role) (gateway_engine_breaker_open{{{INSTANCE}}})", "{{role}}"),
                words={0: ("closed", GREEN), 1: ("open", RED)},
            ),
            number(
                "Failures in the time shown",
                "Processes of engines that ended, hung or never came up.",
                Query(growth("gateway_engine_failures_total", INSTANCE)),
                steps=((None, GREEN), (1, ORANGE), (3, RED)),
                empty="none",
            ),
            number(
                "Slowest load",
                "Of the engines that are loaded, by role.",
                Query(f"max by (role) (gateway_engine_load_seconds{{{INSTANCE}}})", "{{role}}"),
                unit=SECONDS,
            ),
            number(
                "Of the recommended working set",
                "What engines use. MLX slows down near the whole of it.",
                Query(f"max({_budget('used')} / on (instance) {_budget('limit')})"),
                unit=SHARE,
                width=8,
                steps=((None, GREEN), (0.8, ORANGE), (_NEAR_LIMIT, RED)),
            ),
            lines(
                "Engine processes that failed, by reason",
                "`deploy/RUNBOOK.md` says what each reason means and where to look.",
                Query(f"sum by (role, reason) (gateway_engine_failures_total{{{INSTANCE}}})", "{{role}}: {{reason}}"),
                unit=COUNT,
                width=12,
            ),
            lines(
                "Engine processes started again",
                "Since the gateway began. A line that climbs in steps is a crash loop.",
                Query(f"sum by (role) (gateway_engine_restarts_total{{{INSTANCE}}})", "{{role}}"),
                unit=COUNT,
                width=12,
            ),
        ),
    )


def _fit() -> Row:
    return Row(
        "Does it fit?",
        (
            lines(
                "Memory against its budget",
                "Limit is what the device recommends as a working set. Planned is what loaded engines may come to, and"
                " what a load is refused by; reserve is kept for the system; available is what the system says is"
                " free.",
                Query(f"sum by (kind) (gateway_memory_budget_bytes{{{INSTANCE}}})", "{{kind}}"),
                unit=BYTES,
                width=12,
            ),
            lines(
                "Memory of the engines",
                "Active, cache and peak as MLX counts them; the footprint as the system counts the process; predicted"
                " from the files before the load.",
                Query(f"sum by (role, kind) (gateway_engine_memory_bytes{{{INSTANCE}}})", "{{role}}: {{kind}}"),
                unit=BYTES,
                width=12,
            ),
            lines(
                "Used of the recommended working set",
                f"Above {_NEAR_LIMIT:.0%} the gateway says that it is near the limit, and an alert comes.",
                Query(f"{_budget('used')} / on (instance) {_budget('limit')}", "{{instance}}"),
                unit=SHARE,
                width=12,
                limit=_NEAR_LIMIT,
            ),
            lines(
                "Near the limit",
                "1 while it is so.",
                Query(f"max by (instance) (gateway_memory_near_limit{{{INSTANCE}}})", "{{instance}}"),
                unit=COUNT,
                width=12,
            ),
        ),
    )


def _decoding() -> Row:
    decode = "gateway_engine_batch_rows"
    padding = "gateway_engine_padding_ratio"
    return Row(
        "How well does it decode?",
        (
            heat(
                "Rows of a batch",
                "Rows that were held after each step. More rows a step is more tokens for the same reading of the"
                " weights.",
                Query(rate(f"{decode}_bucket", INSTANCE, "le"), "{{le}}"),
                unit=COUNT,
            ),
            lines(
                "Padding",
                "Share of the key-value caches that holds no token of a row: long rows beside short ones.",
                *(Query(quantile(percent / 100, padding, INSTANCE), f"p{percent}") for percent in (50, 95)),
                unit=SHARE,
            ),
            lines(
                "Steps",
                "Of all engines. Steps that grow while tokens do not are small batches.",
                Query(rate("gateway_engine_steps_total", INSTANCE, "instance"), "{{instance}}"),
                unit=_STEPS_PER_S,
            ),
        ),
    )


def _prefixes() -> Row:
    found = rate("gateway_prefix_cache_requests_total", f'{INSTANCE}, result="hit"', "instance")
    asked = rate("gateway_prefix_cache_requests_total", INSTANCE, "instance")
    cached = rate("gateway_tokens_total", f'{MODEL}, type="cached"', "model")
    read = rate("gateway_tokens_total", f'{MODEL}, type="prompt"', "model")
    return Row(
        "What does the prefix cache save?",
        (
            lines(
                "Requests with a cached prefix",
                "Share of requests of whose prompts a part was there.",
                Query(f"{found} / on (instance) {asked}", "{{instance}}"),
                unit=SHARE,
                width=6,
            ),
            lines(
                "Prompt tokens from the cache",
                "Share of prompts that was not computed again.",
                Query(f"{cached} / on (model) {read}", "{{model}}"),
                unit=SHARE,
                width=6,
            ),
            lines(
                "Not computed again",
                "Prompt tokens that an earlier request had left, and runs of tokens that were dropped to make room.",
                Query(rate("gateway_prefix_cache_tokens_total", INSTANCE, "instance"), "found"),
                Query(rate("gateway_prefix_cache_evictions_total", INSTANCE, "instance"), "runs dropped"),
                unit=TOKENS_PER_S,
                width=6,
            ),
            lines(
                "Held by prefix caches",
                "In memory they count as the engine's; on disk they outlive it.",
                Query(f"sum by (tier) (gateway_prefix_cache_bytes{{{INSTANCE}}})", "{{tier}}"),
                unit=BYTES,
                width=6,
            ),
        ),
    )


def _swaps() -> Row:
    gaps = "gateway_swap_gap_seconds"
    return Row(
        "What did it cost to change the model?",
        (
            lines(
                "Swaps by way and end",
                "Since the gateway began. `shared` loads nothing, `beside` loads before it switches, `in_turn`"
                " unloads first.",
                Query(
                    f"sum by (model, way, outcome) (gateway_swaps_total{{{MODEL}}})", "{{model}} {{way}}: {{outcome}}"
                ),
                unit=COUNT,
                width=12,
            ),
            lines(
                "Time without an engine, mean of a swap",
                "For so long requests waited at the door; nothing where both engines fit.",
                Query(
                    f"sum by (model, way) ({gaps}_sum{{{MODEL}}}) / sum by (model, way) ({gaps}_count{{{MODEL}}})",
                    "{{model}} {{way}}",
                ),
                unit=SECONDS,
                width=12,
            ),
        ),
    )


def _budget(kind: str) -> str:
    return f'sum by (instance) (gateway_memory_budget_bytes{{{INSTANCE}, kind="{kind}"}})'
