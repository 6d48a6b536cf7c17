"""Write `gateway/METRICS.md` from the declarations, as `python -m gateway.telemetry.reference`."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from gateway.settings import MetricsSettings
from gateway.telemetry.declarations import Family, Label
from gateway.telemetry.metrics import Metrics

PAGE = Path(__file__).parent.parent / "METRICS.md"

_NAMES_LIMIT = MetricsSettings().max_label_values
_PREFACE = f"""\
# Metrics

Written by `python -m gateway.telemetry.reference` from the declarations in `gateway/telemetry/`; a test says when it is
stale. All of it stands on the gateway's `GET /metrics`, in Prometheus's text format, or as OpenMetrics to whoever
accepts that. On loopback it needs no key, elsewhere one of any role.

- **Labels** have closed sets of values. `model`, `suite`, `criterion` and `category` are names that the registry knows:
  the first {_NAMES_LIMIT} of each have series of their own, all others share `other` (`metrics.max_label_values`). What
  a client makes up, a model, a key, a path, is never a label's value.
- **Counters** whose labels all have listed values are there from the start, at 0, so that `rate` sees the first event.
- **Exemplars**: as OpenMetrics, the buckets of `gateway_request_duration_seconds` and
  `gateway_time_to_first_token_seconds` carry the `request_id` of a request, which is its `x-request-id` and stands in
  its log line. Prometheus keeps them with `--enable-feature=exemplar-storage`. A client's own id is left out unless it
  is 1 to 118 letters, digits, `.`, `_`, `:` and `-`.
- **`canary_*`** is shown by the gateway too: of the last recorded Evaluation of each model and suite, also after a
  restart, and of the progress that canary posts. `gateway_incumbent_info` alone has a digest.
- **Buckets** are OpenTelemetry's for GenAI servers, and further ones for slow prefills and single gaps.
"""

_VLLM = """\
## vLLM's names

Dashboards and autoscalers that know vLLM find its names as recording rules in `deploy/prometheus/`, and no metric is
exported twice. A `model` here is a `model_name` there.

| vLLM | here |
|---|---|
| `vllm:num_requests_running` | `gateway_requests_running` |
| `vllm:num_requests_waiting` | `gateway_requests_queued`, over all classes |
| `vllm:request_success_total` | `gateway_requests_total{status="200"}` |
| `vllm:prompt_tokens_total` | `gateway_tokens_total{type="prompt"}` |
| `vllm:generation_tokens_total` | `gateway_tokens_total{type="completion"}` |
| `vllm:prefix_cache_queries_total` | `gateway_tokens_total{type="prompt"}`: both count tokens |
| `vllm:prefix_cache_hits_total` | `gateway_tokens_total{type="cached"}` |
| `vllm:time_to_first_token_seconds` | `gateway_time_to_first_token_seconds` |
| `vllm:inter_token_latency_seconds` | `gateway_inter_token_seconds` |
| `vllm:request_time_per_output_token_seconds` | `gateway_time_per_output_token_seconds` |
| `vllm:e2e_request_latency_seconds` | `gateway_request_duration_seconds` |
| `vllm:request_queue_time_seconds` | `gateway_queue_wait_seconds` |
| `vllm:num_preemptions_total` | none: a row that runs is never put back |
| `vllm:kv_cache_usage_perc` | none: memory is planned by request, see `gateway_memory_budget_bytes` |
"""

_SECTIONS = {
    "Requests": ("gateway_request", "gateway_time", "gateway_inter", "gateway_tokens", "gateway_queue"),
    "Engines and memory": ("gateway_engine", "gateway_memory", "gateway_prefix"),
    "Deployments": ("gateway_incumbent", "gateway_promotions", "gateway_swap"),
    "Evaluations": ("canary_",),
    "The gateway": ("gateway_build",),
}


def page() -> str:
    """Return the whole page."""
    families = Metrics().families
    return "\n".join([_PREFACE, *_labels(families), *_sections(families), _VLLM])


def _labels(families: Iterable[Family]) -> Iterator[str]:
    """Say what the labels are whose values the other tables do not list."""
    yield "| label | values |\n|---|---|"
    said = {label.name: label.said for family in families for label in family.labels if label.said}
    yield from (f"| `{name}` | {what} |" for name, what in said.items())
    yield ""


def _sections(families: Iterable[Family]) -> Iterator[str]:
    for title, prefixes in _SECTIONS.items():
        yield f"## {title}\n"
        yield "| metric | type | unit | labels | what it says |\n|---|---|---|---|---|"
        yield from (_row(family) for family in families if family.name.startswith(prefixes))
        yield ""


def _row(family: Family) -> str:
    labels = "<br>".join(_words(label) for label in family.labels)
    said = family.help
    if family.buckets:
        said += f" Buckets: {', '.join(f'{bound:g}' for bound in family.buckets)}."
    return f"| `{family.name}` | {family.kind} | {family.unit or '-'} | {labels or '-'} | {said} |"


def _words(label: Label) -> str:
    values = ", ".join(f"`{value}`" for value in label.values)
    return f"`{label.name}`: {values}" if values else f"`{label.name}`"


if __name__ == "__main__":
    PAGE.write_text(page())
