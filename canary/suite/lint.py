"""Find what is wrong with a suite before a model is asked: criteria that cannot hold, cases that cannot decide."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from canary.errors import SuiteError
from canary.grading import parts_of
from canary.grading.program import ReadyProgram
from canary.grading.regex import Regex
from canary.judge import complaint_about, size_complaint_about, timing_complaint_about
from canary.suite.case import Case
from canary.suite.case_file import CASES_FILE, read_cases
from canary.suite.manifest import place_in_manifest, read_manifest
from canary.suite.toml_lines import Step
from gateway.contracts.chat import RESERVED_TEMPLATE_ARGUMENTS
from gateway.contracts.digests import digest_of
from gateway.contracts.evaluations import Criterion, Metric, Rule
from gateway.contracts.heldout import HELDOUT_TAG
from gateway.contracts.suites import SuiteManifest

_NOBODY_SAYS = ("", "\u2042")
"""Two answers with nothing in common. A pattern that is found in both is found in any."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    severity: Literal["error", "warning"]
    message: str
    """Starts with the file and, where there is one, the line."""


class _Numbered(msgspec.Struct, frozen=True, kw_only=True):
    line: int
    case: Case


class _Files(msgspec.Struct, frozen=True, kw_only=True):
    """A suite as its files write it."""

    directory: Path
    manifest: SuiteManifest
    cases: tuple[_Numbered, ...]

    def in_manifest(self, key: Sequence[Step], sentence: str, *, warning: bool = False) -> Finding:
        place = place_in_manifest(self.directory, key)
        return Finding(severity="warning" if warning else "error", message=f"{place}: {sentence}")

    def in_cases(self, line: int, sentence: str, *, warning: bool = False) -> Finding:
        place = f"{self.directory / CASES_FILE}, line {line}"
        return Finding(severity="warning" if warning else "error", message=f"{place}: {sentence}")


def lint(directory: Path) -> tuple[Finding, ...]:
    """Return all that is wrong, every bad line of the cases included.

    No command of the suite is run; oracles are, in the sandbox.
    """
    try:
        manifest = read_manifest(directory)
        lines = tuple(read_cases(directory, manifest))
    except SuiteError as error:
        return (Finding(severity="error", message=str(error)),)
    bad = [Finding(severity="error", message=str(case)) for _, case in lines if isinstance(case, SuiteError)]
    if bad:
        # What the suite as a whole can decide is known once all its cases can be read.
        return tuple(bad)
    cases = tuple(_Numbered(line=line, case=case) for line, case in lines if isinstance(case, Case))
    if not cases:
        return (Finding(severity="error", message=f"{directory / CASES_FILE} holds no case"),)
    files = _Files(directory=directory, manifest=manifest, cases=cases)
    return (
        *_template_findings(files),
        *_criteria_findings(files),
        *_size_findings(files),
        *_case_findings(files),
    )


def _template_findings(files: _Files) -> Iterator[Finding]:
    for name in files.manifest.template_arguments:
        if name in RESERVED_TEMPLATE_ARGUMENTS:
            sentence = (
                f"the template argument {name!r} is not for a suite to set, and the gateway refuses it: remove it"
            )
            yield files.in_manifest(("template_arguments", name), sentence)


def _criteria_findings(files: _Files) -> Iterator[Finding]:
    criteria = files.manifest.effective_criteria()
    if not any(criterion.required for criterion in criteria):
        yield files.in_manifest(("criteria",), "no criterion is required, so every verdict is inconclusive")
    for criterion in criteria:
        key = _key_of(criterion, files.manifest)
        if complaint := complaint_about(criterion):
            yield files.in_manifest((*key, "bound"), f"criterion {criterion.name!r}: {complaint}")
        if criterion.metric is Metric.FIELD_ACCESS and Metric.FIELD_ACCESS not in files.manifest.measures:
            sentence = f"criterion {criterion.name!r} judges field_access, which `measures` does not list"
            yield files.in_manifest((*key, "metric"), sentence)
    yield from _contradictions(files, criteria)


def _contradictions(files: _Files, criteria: Sequence[Criterion]) -> Iterator[Finding]:
    for floor in criteria:
        for ceiling in criteria:
            if (floor.rule, ceiling.rule) != (Rule.AT_LEAST, Rule.AT_MOST) or floor.bound <= ceiling.bound:
                continue
            if _subgroup(floor) == _subgroup(ceiling):
                sentence = (
                    f"criteria {floor.name!r} and {ceiling.name!r} contradict each other: {floor.metric} cannot be at "
                    f"least {floor.bound:g} and at most {ceiling.bound:g}"
                )
                yield files.in_manifest((*_key_of(floor, files.manifest), "bound"), sentence)


def _subgroup(criterion: Criterion) -> tuple[object, ...]:
    return criterion.metric, criterion.category, criterion.tag, criterion.concurrency or 1


def _size_findings(files: _Files) -> Iterator[Finding]:
    """Compare the number of cases with what the criteria need to decide on."""
    manifest = files.manifest
    in_category = Counter(numbered.case.category for numbered in files.cases) + _drawn_in_category(manifest)
    if in_category.total() < manifest.min_pairs:
        sentence = f"`min_pairs` is {manifest.min_pairs} and there are {len(files.cases)} cases: nothing can be decided"
        yield files.in_manifest(("min_pairs",), sentence)
        return
    for criterion in manifest.effective_criteria():
        if criterion.category is None or in_category[criterion.category] >= manifest.min_pairs:
            continue
        sentence = (
            f"criterion {criterion.name!r} is inconclusive whatever a candidate does: `min_pairs` is "
            f"{manifest.min_pairs}, and the category {criterion.category!r} has {in_category[criterion.category]} cases"
        )
        yield files.in_manifest((*_key_of(criterion, manifest), "category"), sentence)
    yield from _evidence_findings(files, in_category)
    for category in manifest.categories:
        if not in_category[category]:
            sentence = f"no case is of the category {category!r}"
            yield files.in_manifest(("categories", category), sentence, warning=True)
        elif in_category[category] < manifest.min_pairs:
            sentence = (
                f"the category {category!r} has {in_category[category]} cases, too few to decide anything: "
                f"`min_pairs` is {manifest.min_pairs}"
            )
            yield files.in_manifest(("categories", category), sentence, warning=True)
    yield from _resolution_findings(files)


def _evidence_findings(files: _Files, in_category: Counter[str]) -> Iterator[Finding]:
    """Say which criteria so few cases leave inconclusive whatever a candidate does, by the profile's own rule."""
    manifest = files.manifest
    for criterion in manifest.effective_criteria():
        complaint = _size_complaint(files, criterion, in_category)
        if complaint is not None and complaint_about(criterion) is None:
            sentence = (
                f"criterion {criterion.name!r} is inconclusive whatever a candidate does under profile "
                f"`{manifest.profile}`: {complaint}"
            )
            yield files.in_manifest(_key_of(criterion, manifest), sentence, warning=not criterion.required)


def _size_complaint(files: _Files, criterion: Criterion, in_category: Counter[str]) -> str | None:
    manifest = files.manifest
    chosen = {criterion.category} if criterion.category is not None else set(in_category)
    cases = [each.case for each in files.cases if each.case.category in chosen]
    drawn = _drawn_in_category(manifest)
    count, families = sum(in_category[category] for category in chosen), _drawn_families(manifest, chosen)
    if criterion.tag is not None:
        cases = [case for case in cases if criterion.tag in case.tags]
        is_drawn = criterion.tag == HELDOUT_TAG
        count = len(cases) + (sum(drawn[category] for category in chosen) if is_drawn else 0)
        families = families if is_drawn else 0
        if count == 0:
            return f"no case has the tag {criterion.tag!r}"
    families += len({case.family for case in cases})
    timing = manifest.timing
    if criterion.metric.is_time and timing is not None:
        return timing_complaint_about(criterion, timing, cases=count, min_pairs=manifest.min_pairs)
    return size_complaint_about(criterion, manifest.profile, cases=count, families=families)


def _drawn_families(manifest: SuiteManifest, categories: Collection[str | None]) -> int:
    """Return of how many families of these categories held-out cases are drawn."""
    if manifest.heldout is None:
        return 0
    per_family, drawn = manifest.heldout.per_family, _drawn_in_category(manifest)
    return sum(count // per_family for category, count in drawn.items() if category in categories)


def _drawn_in_category(manifest: SuiteManifest) -> Counter[str]:
    """Return how many held-out cases are drawn of each category."""
    if manifest.heldout is None:
        return Counter()
    # Families take a while to import, and most suites have none.
    from canary.programs.families.generate import FAMILIES  # noqa: PLC0415 - said above

    per_family = manifest.heldout.per_family
    return Counter({key: per_family * count for key, count in Counter(each.category for each in FAMILIES).items()})


def _resolution_findings(files: _Files) -> Iterator[Finding]:
    """Warn where one case, or one family, weighs more than what is to be told apart."""
    manifest = files.manifest
    if manifest.heldout is not None:
        return  # A hundred families and more are drawn.
    families = {numbered.case.family for numbered in files.cases}
    if len(families) < manifest.min_pairs:
        sentence = (
            f"{len(files.cases)} cases are of {len(families)} families, which fail together: fewer than the "
            f"`min_pairs` of {manifest.min_pairs} say anything new"
        )
        yield files.in_manifest(("min_pairs",), sentence, warning=True)
    for criterion in manifest.effective_criteria():
        if criterion.rule is not Rule.NO_WORSE_THAN or not criterion.metric.higher_is_better:
            continue
        chosen = [each for each in files.cases if criterion.category in {None, each.case.category}]
        if chosen and 0 <= criterion.bound < 1 / len(chosen):
            sentence = (
                f"criterion {criterion.name!r}: one case of {len(chosen)} is {100 / len(chosen):.1f} points, more than "
                f"the margin of {100 * criterion.bound:.1f}: a single flip decides"
            )
            yield files.in_manifest((*_key_of(criterion, manifest), "bound"), sentence, warning=True)


def _case_findings(files: _Files) -> Iterator[Finding]:
    line_of_prompt: dict[str, int] = {}
    for numbered in files.cases:
        case = numbered.case
        prompt = digest_of([(message.role, message.text) for message in case.messages])
        if prompt in line_of_prompt:
            sentence = f"the case {case.id!r} asks what line {line_of_prompt[prompt]} asks already"
            yield files.in_cases(numbered.line, sentence, warning=True)
        line_of_prompt.setdefault(prompt, numbered.line)
        if isinstance(case.grader, Regex) and _accepts_anything(case.grader):
            yield files.in_cases(numbered.line, f"the case {case.id!r} accepts any answer: {case.grader.describe()}")
        for grader in parts_of(case.grader):
            if isinstance(grader, ReadyProgram) and (complaint := grader.complaint()):
                yield files.in_cases(numbered.line, f"the case {case.id!r} is wrong: {complaint}")


def _accepts_anything(grader: Regex) -> bool:
    return all(grader.grade(answer).value == 1 for answer in _NOBODY_SAYS)


def _key_of(criterion: Criterion, manifest: SuiteManifest) -> tuple[Step, ...]:
    """Return the criterion's place in `suite.toml`; a default has none there."""
    for position, own in enumerate(manifest.criteria):
        if own is criterion:
            return ("criteria", position)
    return ("criteria", len(manifest.criteria))
