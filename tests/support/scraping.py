"""Reads what a gateway's `/metrics` shows."""

import httpx
from prometheus_client.parser import text_string_to_metric_families


def scrape(url: str) -> dict[str, float]:
    return samples_in(httpx.get(f"{url}/metrics", timeout=30).raise_for_status().text)


def samples_in(text: str) -> dict[str, float]:
    """Return `name{label=value,...}` and value of every sample, as a Prometheus server reads them."""
    return {
        f"{sample.name}{{{','.join(f'{key}={value}' for key, value in sorted(sample.labels.items()))}}}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
