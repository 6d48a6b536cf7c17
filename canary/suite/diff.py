"""Say what changes a score between two versions of a suite."""

from collections.abc import Iterator

import msgspec

from canary.grading import identity_of
from canary.suite.case import Case
from canary.suite.show import criterion_in_words
from canary.suite.suite import Suite
from gateway.contracts.suites import SuiteManifest

_SCORING = (
    "name",
    "measures",
    "profile",
    "min_pairs",
    "seed",
    "temperature",
    "template_arguments",
    "protocol",
    "heldout",
)
"""Keys of `suite.toml` that the digest covers as they stand; categories and criteria are compared one by one."""


def diff_suites(old: Suite, new: Suite) -> Iterator[str]:
    """Yield one line a difference, all of those that the digest covers: none where the digests are equal."""
    for key in _SCORING:
        before, after = getattr(old.manifest, key), getattr(new.manifest, key)
        if before != after:
            yield f"~ {key}: {before!r} -> {after!r}"
    yield from _category_differences(old.manifest, new.manifest)
    yield from _criteria_differences(old.manifest, new.manifest)
    yield from _case_differences(old, new)


def _category_differences(old: SuiteManifest, new: SuiteManifest) -> Iterator[str]:
    yield from (f"- category {key}" for key in old.categories if key not in new.categories)
    yield from (f"+ category {key}" for key in new.categories if key not in old.categories)


def _criteria_differences(old: SuiteManifest, new: SuiteManifest) -> Iterator[str]:
    before = {criterion.name: criterion for criterion in old.effective_criteria()}
    after = {criterion.name: criterion for criterion in new.effective_criteria()}
    yield from (f"- criterion {criterion_in_words(before[name])}" for name in before if name not in after)
    yield from (f"+ criterion {criterion_in_words(after[name])}" for name in after if name not in before)
    for name, criterion in before.items():
        if name in after and criterion != after[name]:
            yield f"~ criterion {criterion_in_words(criterion)} -> {criterion_in_words(after[name])}"


def _case_differences(old: Suite, new: Suite) -> Iterator[str]:
    before = {case.id: case for case in old.cases}
    after = {case.id: case for case in new.cases}
    yield from (f"- case {case_id}" for case_id in before if case_id not in after)
    yield from (f"+ case {case_id}" for case_id in after if case_id not in before)
    for case_id, case in before.items():
        if case_id in after and case.digest != after[case_id].digest:
            yield f"~ case {case_id}: {', '.join(_changed(case, after[case_id]))}"


def _changed(old: Case, new: Case) -> list[str]:
    """Return the parts that differ."""
    fields = [field.name for field in msgspec.structs.fields(Case)]
    apart = {"tags", "grader"}
    changed = [name for name in fields if name not in apart and getattr(old, name) != getattr(new, name)]
    if set(old.tags) != set(new.tags):
        changed.append("tags")
    if identity_of(old.grader) != identity_of(new.grader):
        changed.append("grader")
    return changed
