"""A suite: a directory with a `suite.toml` and a `cases.jsonl`, identified by a digest of all that scores."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from canary.errors import SuiteError
from canary.suite.case import Case
from canary.suite.case_file import CASES_FILE, read_cases
from canary.suite.manifest import read_manifest
from canary.suite.search import find_suite
from gateway.contracts.digests import digest_of
from gateway.contracts.evaluations import SuiteRef
from gateway.contracts.suites import SuiteManifest


class Suite(msgspec.Struct, frozen=True, kw_only=True):
    manifest: SuiteManifest
    digest: str
    """Of the whole suite, whatever the tag."""
    tag: str | None
    cases: tuple[Case, ...]
    """Those with the tag, by identifier: the order of lines in the file means nothing."""

    def reference(self) -> SuiteRef:
        return SuiteRef(
            name=self.manifest.name,
            digest=self.digest,
            tag=self.tag,
            categories=self.manifest.categories,
            measures=self.manifest.measures,
        )


def load_suite(name_or_path: str, *, search_path: Sequence[Path], tag: str | None = None) -> Suite:
    """Read a suite and keep the cases with `tag`, or all. Raises SuiteError, which names the file and the line."""
    directory = find_suite(name_or_path, search_path)
    manifest = read_manifest(directory)
    cases = tuple(sorted(_sound_cases(directory, manifest), key=lambda case: case.id))
    if not cases:
        raise SuiteError(f"{directory / CASES_FILE} holds no case")
    chosen = tuple(case for case in cases if tag is None or tag in case.tags)
    if not chosen:
        tags = ", ".join(sorted({tag for case in cases for tag in case.tags})) or "none"
        raise SuiteError(f"{directory / CASES_FILE}: no case has the tag {tag!r}; there are: {tags}")
    return Suite(manifest=manifest, digest=suite_digest(manifest, cases), tag=tag, cases=chosen)


def suite_digest(manifest: SuiteManifest, cases: Sequence[Case]) -> str:
    """Return the digest of all that changes a score or a verdict.

    Left out are the purpose, the titles of categories, the order of criteria, and the pinned versions of graders, which
    equal those that each case's digest covers, as it does the system prompt and the tokens allowed.
    """
    return digest_of(
        {
            "name": manifest.name,
            "categories": sorted(manifest.categories),
            "measures": sorted(manifest.measures),
            "profile": manifest.profile,
            "min_pairs": manifest.min_pairs,
            "seed": manifest.seed,
            "temperature": float(manifest.temperature),
            "criteria": sorted(manifest.effective_criteria(), key=lambda criterion: criterion.name),
            "cases": sorted(case.digest for case in cases),
        }
    )


def _sound_cases(directory: Path, manifest: SuiteManifest) -> Iterator[Case]:
    for _, case in read_cases(directory, manifest):
        if isinstance(case, SuiteError):
            raise case
        yield case
