"""A suite: a directory with a `suite.toml` and a `cases.jsonl`, identified by a digest of all that scores."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from canary.errors import SuiteError
from canary.programs.families import GENERATOR_VERSION
from canary.suite.case import Case
from canary.suite.case_file import CASES_FILE, read_cases
from canary.suite.manifest import read_manifest
from canary.suite.search import find_suite
from gateway.contracts.digests import digest_of
from gateway.contracts.evaluations import Criterion, Statistic, SuiteRef
from gateway.contracts.heldout import HELDOUT_TAG, HeldoutDraw
from gateway.contracts.suites import Protocol, SuiteManifest


class Suite(msgspec.Struct, frozen=True, kw_only=True):
    manifest: SuiteManifest
    digest: str
    """Of the whole suite, whatever the tag."""
    tag: str | None
    cases: tuple[Case, ...]
    """Those with the tag, by identifier: the order of lines in the file means nothing."""
    heldout: HeldoutDraw | None = None
    """What `with_heldout` drew beside the cases of the file."""

    @property
    def draws_heldout(self) -> bool:
        return self.manifest.heldout is not None and self.tag in {None, HELDOUT_TAG}

    def reference(self) -> SuiteRef:
        return SuiteRef(
            name=self.manifest.name,
            digest=self.digest,
            tag=self.tag,
            categories=self.manifest.categories,
            measures=self.manifest.measures,
            heldout=self.heldout,
        )


def load_suite(name_or_path: str, *, search_path: Sequence[Path], tag: str | None = None) -> Suite:
    """Read a suite and keep the cases with `tag`, or all. Raises SuiteError, which names the file and the line."""
    directory = find_suite(name_or_path, search_path)
    manifest = read_manifest(directory)
    cases = tuple(sorted(_sound_cases(directory, manifest), key=lambda case: case.id))
    if not cases:
        raise SuiteError(f"{directory / CASES_FILE} holds no case")
    chosen = tuple(case for case in cases if tag is None or tag in case.tags)
    suite = Suite(manifest=manifest, digest=suite_digest(manifest, cases), tag=tag, cases=chosen)
    if not chosen and not suite.draws_heldout:
        tags = ", ".join(sorted({tag for case in cases for tag in case.tags})) or "none"
        raise SuiteError(f"{directory / CASES_FILE}: no case has the tag {tag!r}; there are: {tags}")
    return suite


def suite_digest(manifest: SuiteManifest, cases: Sequence[Case]) -> str:
    """Return the digest of all that changes a score or a verdict.

    Left out are the purpose, the titles of categories, the order of criteria, and the pinned versions of graders, which
    equal those that each case's digest covers, as it does the system prompt and the tokens allowed. What a suite leaves
    to its default is no part of it, so that keys which come later change no digest from before.
    """
    parts: dict[str, object] = {
        "name": manifest.name,
        "categories": sorted(manifest.categories),
        "measures": sorted(manifest.measures),
        "profile": manifest.profile,
        "min_pairs": manifest.min_pairs,
        "seed": manifest.seed,
        "temperature": float(manifest.temperature),
        "criteria": [
            _identity_of(each) for each in sorted(manifest.effective_criteria(), key=lambda criterion: criterion.name)
        ],
        "cases": sorted(case.digest for case in cases),
    }
    if manifest.template_arguments:
        parts["template_arguments"] = manifest.template_arguments
    parts |= _identity_of_protocol(manifest.protocol)
    if manifest.heldout is not None:
        parts["heldout"] = {"generator": GENERATOR_VERSION, "per_family": manifest.heldout.per_family}
    return digest_of(parts)


def _identity_of(criterion: Criterion) -> dict[str, object]:
    parts: dict[str, object] = msgspec.to_builtins(criterion)
    if criterion.statistic is Statistic.MEAN:
        del parts["statistic"]
    for later in ("tag", "concurrency"):
        if parts[later] is None:
            del parts[later]
    return parts


class _FirstProtocol(msgspec.Struct, frozen=True, kw_only=True):
    """What a protocol was before it measured anything apart, with its fields in that order."""

    warm_up_count: int
    prefix_cache: bool


def _identity_of_protocol(protocol: Protocol) -> dict[str, object]:
    parts: dict[str, object] = {}
    chosen, defaults = msgspec.to_builtins(protocol), msgspec.to_builtins(Protocol())
    changed = {name for name, value in chosen.items() if value != defaults[name]}
    first = set(_FirstProtocol.__struct_fields__)
    if changed & first:
        parts["protocol"] = _FirstProtocol(warm_up_count=protocol.warm_up_count, prefix_cache=protocol.prefix_cache)
    if later := {name: chosen[name] for name in changed - first}:
        parts["measured_apart"] = later
    return parts


def _sound_cases(directory: Path, manifest: SuiteManifest) -> Iterator[Case]:
    for _, case in read_cases(directory, manifest):
        if isinstance(case, SuiteError):
            raise case
        yield case
