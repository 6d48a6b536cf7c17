"""Criteria from the command line, in the words of `suite.toml`: `accuracy at_least 0.8 category=facts`."""

import re
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from canary.errors import UsageError
from canary.judge import complaint_about
from canary.suite import Suite
from canary.suite.manifest import complaints_about_subgroup
from gateway.contracts.evaluations import Criterion, Metric, Rule, Statistic

_RULES = {">=": Rule.AT_LEAST, "<=": Rule.AT_MOST} | {rule.value: rule for rule in Rule}
_SHAPE = "METRIC[.STATISTIC] RULE BOUND [category=KEY] [tag=TAG] [concurrency=N] [name=NAME]"
_EXAMPLE = "'time_to_first_token_s.p95 <= 0.5 category=facts'"
_EXPRESSION = re.compile(
    r"(?P<metric>\w+)(\.(?P<statistic>\w+))?\s*(?P<rule>>=|<=|\s\w+\s)\s*(?P<bound>\S+)(?P<rest>.*)"
)
Named = TypeVar("Named", Metric, Statistic)
_KEYS = ("category", "tag", "concurrency", "name")


def with_flags(suite: Suite, required: Sequence[str], advisory: Sequence[str]) -> Suite:
    """Return the suite with further criteria. Raises UsageError with what is wrong with one, and the remedy."""
    added = [
        *(_criterion(text, required=True) for text in required),
        *(_criterion(text, required=False) for text in advisory),
    ]
    if not added:
        return suite
    manifest = msgspec.structs.replace(suite.manifest, criteria=(*suite.manifest.criteria, *added))
    taken = {criterion.name for criterion in suite.manifest.effective_criteria()}
    for criterion in added:
        if criterion.name in taken:
            raise UsageError(f"there is a criterion {criterion.name!r} already; give this one another by name=NAME")
        taken.add(criterion.name)
        wrong = [complaint_about(criterion), *(text for _, text in complaints_about_subgroup(criterion, manifest))]
        tags = {tag for case in suite.cases for tag in case.tags}
        if criterion.tag is not None and criterion.tag not in tags:
            wrong.append(f"no case has the tag {criterion.tag!r}; there are: {', '.join(sorted(tags)) or 'none'}")
        timing = manifest.timing
        if timing is not None and criterion.concurrency not in {None, 1, timing.concurrency}:
            wrong.append(
                f"nothing is timed at {criterion.concurrency} requests: `protocol.latency.concurrency` is "
                f"{timing.concurrency}"
            )
        for sentence in wrong:
            if sentence is not None:
                raise UsageError(f"--{'require' if criterion.required else 'advise'} {criterion.name}: {sentence}")
    return msgspec.structs.replace(suite, manifest=manifest)


def _criterion(text: str, *, required: bool) -> Criterion:
    found = _EXPRESSION.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"{text!r} is no criterion: write {_SHAPE}, as in {_EXAMPLE}")
    options = _options(text, found["rest"])
    rule = found["rule"].strip()
    if rule not in _RULES:
        raise UsageError(f"{text!r}: there is no rule {rule!r}; there are: {', '.join(_RULES)}")
    return Criterion(
        name=options.get("name", " ".join(text.split())),
        metric=_one_of(Metric, found["metric"], text, "metric"),
        statistic=_one_of(Statistic, found["statistic"] or Statistic.MEAN.value, text, "statistic"),
        rule=_RULES[rule],
        bound=_number(found["bound"], text),
        required=required,
        category=options.get("category"),
        tag=options.get("tag"),
        concurrency=int(_number(options["concurrency"], text)) if "concurrency" in options else None,
    )


def _options(text: str, rest: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for word in rest.split():
        key, sign, value = word.partition("=")
        if key not in _KEYS or not sign or not value or key in options:
            raise UsageError(f"{text!r}: {word!r} is none of {', '.join(f'{each}=...' for each in _KEYS)}, each once")
        options[key] = value
    return options


def _one_of(kind: type[Named], name: str, text: str, what: str) -> Named:
    try:
        return kind(name)
    except ValueError:
        known = ", ".join(each.value for each in kind)
        raise UsageError(f"{text!r}: there is no {what} {name!r}; there are: {known}") from None


def _number(word: str, text: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise UsageError(
            f"{text!r}: {word!r} is no number; seconds, bytes and shares of 1 are written without a unit"
        ) from None
