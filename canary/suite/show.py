"""What a suite says, in words, for a reader at a terminal."""

from collections import Counter
from collections.abc import Iterator

from canary.suite.case import Case
from canary.suite.suite import Suite
from gateway.contracts.evaluations import Criterion, Metric
from gateway.contracts.suites import MemoryProtocol


def show_suite(suite: Suite) -> Iterator[str]:
    """Yield the lines of an overview: what is asked, how it is graded, and what decides."""
    manifest, cases = suite.manifest, suite.cases
    tagged = f" tagged {suite.tag!r}" if suite.tag else ""
    yield f"{manifest.name}: {manifest.purpose}"
    yield f"digest     {suite.digest}"
    yield f"cases      {len(cases)}{tagged}, of {len({case.family for case in cases})} families"
    in_category = Counter(case.category for case in cases)
    for key, title in manifest.categories.items():
        yield f"  {key}: {in_category[key]} ({title})"
    yield f"graders    {_counted(f'{case.grader.kind} {case.grader.version}' for case in cases)}"
    yield f"tags       {_counted(tag for case in cases for tag in set(case.tags))}"
    yield f"sampling   temperature {manifest.temperature:g}, seed {manifest.seed}"
    if manifest.template_arguments:
        given = ", ".join(f"{name} = {value!r}" for name, value in manifest.template_arguments.items())
        yield f"template   {given}"
    yield (
        f"protocol   one trial at a time, {manifest.protocol.warm_up_count} warm-up requests to each system, "
        f"prefix cache {'on' if manifest.protocol.prefix_cache else 'off'}"
    )
    if (timing := manifest.timing) is not None:
        levels = " and ".join(str(level) for level in timing.levels)
        yield (
            f"latency    {timing.cycles} cycles of {timing.prompts_per_cycle} prompts, {timing.output_tokens} tokens "
            f"each, at {levels} requests"
        )
    if manifest.measures_memory:
        memory = manifest.protocol.memory or MemoryProtocol()
        yield f"memory     up to {memory.context_tokens:,} tokens of context, {memory.repeats} equal requests"
    if manifest.heldout is not None:
        yield f"held out   {manifest.heldout.per_family} cases of each family, drawn anew for every run"
    yield f"profile    {manifest.profile}, at least {manifest.min_pairs} pairs"
    yield "criteria"
    for criterion in manifest.effective_criteria():
        yield f"  {criterion_in_words(criterion)}"


def show_case(case: Case) -> Iterator[str]:
    """Yield the lines of one case: every message as it is sent, and what is expected."""
    yield f"{case.id}: category {case.category}, family {case.family}, tags {', '.join(case.tags) or 'none'}"
    for message in case.messages:
        yield f"[{message.role}]"
        yield message.text
    yield f"[expected, by {case.grader.kind} {case.grader.version}]"
    yield case.grader.describe()


def criterion_in_words(criterion: Criterion) -> str:
    where = (
        (f" of {criterion.category}" if criterion.category else "")
        + (f" tagged {criterion.tag!r}" if criterion.tag else "")
        + (f" at {criterion.concurrency} requests" if criterion.concurrency else "")
    )
    advisory = "" if criterion.required else " (advisory)"
    bound = (
        f"{criterion.bound:,.0f}" if criterion.metric in {Metric.MEMORY_BYTES, Metric.DISK_BYTES} else criterion.bound
    )
    return f"{criterion.name}: {criterion.metric}{where} {criterion.rule} {bound}{advisory}"


def _counted(names: Iterator[str]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in sorted(Counter(names).items())) or "none"
