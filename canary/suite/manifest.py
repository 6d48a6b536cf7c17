"""Read `suite.toml`, and say on which line a mistake stands."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from canary.errors import SuiteError
from canary.grading import grader_versions
from canary.programs.families import CATEGORIES, GENERATOR_VERSION
from canary.suite.case import TOOLS_PLACE
from canary.suite.text_files import read_text
from canary.suite.toml_lines import Step, line_of, line_of_complaint
from gateway.contracts.evaluations import Criterion
from gateway.contracts.suites import SuiteManifest

MANIFEST_FILE = "suite.toml"
MAX_MANIFEST_BYTES = 64 * 1024

Complaint = tuple[Sequence[Step], str]
"""The path of the key that it is about, and the sentence."""


def read_manifest(directory: Path) -> SuiteManifest:
    """Read `suite.toml` and check what its types cannot say. Raises SuiteError with the file and the line."""
    path = directory / MANIFEST_FILE
    text = read_text(path, max_bytes=MAX_MANIFEST_BYTES)
    try:
        manifest = msgspec.toml.decode(text, type=SuiteManifest)
    except RecursionError as error:
        raise SuiteError(f"{path}: nested too deeply") from error
    except msgspec.ValidationError as error:
        raise SuiteError(f"{_place(path, line_of_complaint(text, str(error)))}: {error}") from error
    except msgspec.DecodeError as error:
        raise SuiteError(f"{_place(path, line_of_complaint(text, str(error)))}: cannot be parsed: {error}") from error
    for key, sentence in _complaints(manifest):
        raise SuiteError(f"{_place(path, line_of(text, key))}: {sentence}")
    return manifest


def place_in_manifest(directory: Path, key: Sequence[Step]) -> str:
    """Return `suite.toml, line N` for a key, or the file alone where the manifest leaves the key to its default."""
    path = directory / MANIFEST_FILE
    return _place(path, line_of(read_text(path, max_bytes=MAX_MANIFEST_BYTES), key))


def _place(path: Path, line: int | None) -> str:
    return str(path) if line is None else f"{path}, line {line}"


def _complaints(manifest: SuiteManifest) -> Iterator[Complaint]:
    counts = Counter(criterion.name for criterion in manifest.criteria)
    for position, criterion in enumerate(manifest.criteria):
        if counts[criterion.name] > 1:
            yield ("criteria", position), f"{counts[criterion.name]} criteria are named {criterion.name!r}"
        for key, sentence in complaints_about_subgroup(criterion, manifest):
            yield ("criteria", position, key), sentence
    yield from _grader_complaints(manifest)
    yield from _heldout_complaints(manifest)


def complaints_about_subgroup(criterion: Criterion, manifest: SuiteManifest) -> Iterator[tuple[str, str]]:
    """Yield the key and the sentence of what a criterion names that the suite lacks."""
    name = f"criterion {criterion.name!r}"
    if criterion.category is not None and criterion.category not in manifest.categories:
        yield "category", f"{name} names the category {criterion.category!r}, which `categories` lacks"
    for key, chosen in (("category", criterion.category), ("tag", criterion.tag)):
        if chosen is not None and not criterion.metric.per_trial:
            plural = "categories" if key == "category" else "tags"
            yield key, f"{name}: {criterion.metric} is the engine's, and has no {plural}"
    if criterion.concurrency is not None and criterion.concurrency > 1 and manifest.timing is None:
        yield "concurrency", f"{name} is about {criterion.concurrency} requests at a time: give [protocol.latency]"


def _grader_complaints(manifest: SuiteManifest) -> Iterator[Complaint]:
    versions = grader_versions()
    for kind, version in manifest.graders.items():
        key = ("graders", kind)
        if kind not in versions:
            yield key, f"there is no grader {kind!r}; there are: {', '.join(versions)}"
        elif versions[kind] != version:
            yield (
                key,
                f"there is no version {version} of the grader {kind!r} any more; the versions that exist: "
                f"{versions[kind]}. Check the suite's cases against it, and pin it instead.",
            )


def _heldout_complaints(manifest: SuiteManifest) -> Iterator[Complaint]:
    heldout = manifest.heldout
    if heldout is None:
        return
    if heldout.generator != GENERATOR_VERSION:
        yield (
            ("heldout", "generator"),
            f"there is no version {heldout.generator} of the generator any more; the version that exists: "
            f"{GENERATOR_VERSION}. Look at what it draws (`canary suite generate`), and name it instead.",
        )
    lacking = [category for category in CATEGORIES if category not in manifest.categories]
    if lacking:
        yield ("heldout",), f"held-out cases are of the categories {', '.join(CATEGORIES)}, and {lacking[0]!r} is none"
    if TOOLS_PLACE not in (manifest.system or ""):
        yield ("heldout",), f"held-out cases offer tools, and `system` has no {TOOLS_PLACE} for their stubs to stand in"
