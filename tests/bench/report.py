"""Results as a Markdown document. Pure."""

from tests.bench.results import Results, ScenarioResult, Spread, TargetResult

_WORDS = {True: "reached", False: "**missed**", None: "not known"}


def markdown(results: Results) -> str:
    environment = results.environment
    packages = ", ".join(f"{name} {version}" for name, version in environment.packages.items())
    lines = [
        "# Benchmarks",
        "",
        "A smoke run: its figures mean nothing."
        if results.quick
        else f"Median of {results.repeats} interleaved runs (least to greatest).",
        "",
        f"- commit {environment.commit}",
        f"- {environment.chip}, {environment.cores} cores, {environment.memory_bytes / 1024**3:.0f} GiB,"
        f" {environment.system}, BLAS: {environment.blas}, load before the run {environment.load_before:.2f}",
        f"- Python {environment.python}, {packages}",
        f"- model `real`: {results.real_model}",
        *_roofline(results),
    ]
    for scenario in results.scenarios:
        lines += _scenario(scenario)
    return "\n".join(lines) + "\n"


def _roofline(results: Results) -> list[str]:
    roofline = results.roofline
    if roofline is None:
        return []
    said = f"- roofline: {roofline.bytes_per_token / 1e6:,.1f} MB of weights a token"
    if roofline.ceiling_tokens_per_s is None:
        return [f"{said}; the memory's bandwidth is not known here (`--bandwidth`)"]
    said += f" over {roofline.bandwidth_gb_s:g} GB/s allow {roofline.ceiling_tokens_per_s:,.1f} tokens a second"
    if roofline.measured_tokens_per_s is None:
        return [said]
    share = roofline.measured_tokens_per_s / roofline.ceiling_tokens_per_s
    return [f"{said}; one stream gets {roofline.measured_tokens_per_s:,.1f} ({share:.0%})"]


def _scenario(scenario: ScenarioResult) -> list[str]:
    names = list(scenario.figures)
    figures = dict.fromkeys(figure for name in names for figure in scenario.figures[name])
    lines = ["", f"## {scenario.name}: {scenario.title} ({scenario.model})", ""]
    lines += [f"| | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    for figure in figures:
        cells = " | ".join(_cell(scenario.figures[name].get(figure)) for name in names)
        lines.append(f"| {figure} | {cells} |")
    lines += ["", *(_target(target) for target in scenario.targets)]
    lines += [f"- {name} did not take part: {reason}" for name, reason in scenario.unavailable.items()]
    return lines


def _cell(spread: Spread | None) -> str:
    if spread is None:
        return ""
    return f"{_number(spread.median)} ({_number(spread.min)} to {_number(spread.max)})"


def _target(result: TargetResult) -> str:
    target = result.target
    what = f"{target.figure} over {target.against}'s" if target.against else target.figure
    value = "no figure" if result.value is None else _number(result.value)
    return f"- {what} {target.bound.replace('_', ' ')} {target.value:g}: {value}, {_WORDS[result.reached]}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) or abs(value) >= 100 else f"{value:.3g}"
