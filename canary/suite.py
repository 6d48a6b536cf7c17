"""Read a suite: a directory with a `suite.toml` and a `cases.jsonl`, identified by a digest of all that scores."""

import importlib.resources
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import msgspec

from canary.errors import SuiteError
from canary.grading import Expectation, grader_versions
from gateway.contracts.chat import ChatMessage
from gateway.contracts.digests import digest_of
from gateway.contracts.evaluations import CaseRef, SuiteRef
from gateway.contracts.suites import SuiteManifest

MANIFEST_FILE = "suite.toml"
CASES_FILE = "cases.jsonl"

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]


class _CaseLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of `cases.jsonl`, as people write it: a `prompt`, or `messages` that end with the user's."""

    id: NonEmpty
    category: str
    tags: tuple[NonEmpty, ...] = ()
    prompt: NonEmpty | None = None
    messages: tuple[ChatMessage, ...] | None = None
    grader: Expectation
    max_completion_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One input with its expectation; the manifest's defaults are applied."""

    id: str
    category: str
    tags: tuple[str, ...]
    messages: tuple[ChatMessage, ...]
    grader: Expectation
    max_completion_tokens: int

    @property
    def prompt(self) -> str:
        """The last user message."""
        return self.messages[-1].text

    @property
    def digest(self) -> str:
        return digest_of({"case": self, "grader_version": self.grader.version})

    def reference(self) -> CaseRef:
        return CaseRef(
            id=self.id,
            category=self.category,
            digest=self.digest,
            prompt=self.prompt,
            expectation=self.grader.describe(),
        )


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


def default_search_path(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return where suites lie: in the working directory, the gateway's state directory, the package or the checkout.

    The state directory is known here only where the variable that sets it for the gateway names it.
    """
    package = Path(str(importlib.resources.files("gateway")))
    state_dir = environ.get("GATEWAY__STATE_DIR")
    in_state = (Path(state_dir) / "suites",) if state_dir else ()
    return (Path("suites"), *in_state, package / "_data" / "suites", package.parent / "suites")


def find_suite(name_or_path: str, search_path: Sequence[Path]) -> Path:
    """Return a suite's directory: a path where it has a separator or leads with a dot, else a name to search for."""
    if "/" in name_or_path or name_or_path.startswith("."):
        if not Path(name_or_path).is_dir():
            raise SuiteError(f"{name_or_path}: no such directory")
        return Path(name_or_path)
    for folder in search_path:
        if (folder / name_or_path).is_dir():
            return folder / name_or_path
    places = ", ".join(str(folder) for folder in search_path)
    raise SuiteError(f"no suite is named {name_or_path!r}: looked in {places}. Name another, or give a path.")


def load_suite(name_or_path: str, *, search_path: Sequence[Path], tag: str | None = None) -> Suite:
    """Read a suite and keep the cases with `tag`, or all. Raises SuiteError, which names the file and the line."""
    directory = find_suite(name_or_path, search_path)
    manifest = read_manifest(directory)
    cases = tuple(sorted(_read_cases(directory / CASES_FILE, manifest), key=lambda case: case.id))
    if not cases:
        raise SuiteError(f"{directory / CASES_FILE} holds no case")
    chosen = tuple(case for case in cases if tag is None or tag in case.tags)
    if not chosen:
        tags = ", ".join(sorted({tag for case in cases for tag in case.tags})) or "none"
        raise SuiteError(f"{directory / CASES_FILE}: no case has the tag {tag!r}; there are: {tags}")
    digest = digest_of({"manifest": manifest, "cases": [case.digest for case in cases], "graders": grader_versions()})
    return Suite(manifest=manifest, digest=digest, tag=tag, cases=chosen)


def read_manifest(directory: Path) -> SuiteManifest:
    """Read `suite.toml` and check what its types cannot say."""
    path = directory / MANIFEST_FILE
    try:
        manifest = msgspec.toml.decode(path.read_bytes().decode(), type=SuiteManifest)
    except UnicodeDecodeError as error:
        raise SuiteError(f"{path} is not UTF-8: {error.reason} at byte {error.start}") from error
    except (OSError, msgspec.DecodeError) as error:
        raise SuiteError(f"{path}: {_in_words(error)}") from error
    complaint = next(_complaints(manifest), None)
    if complaint:
        raise SuiteError(f"{path}: {complaint}")
    return manifest


def _complaints(manifest: SuiteManifest) -> Iterator[str]:
    if not manifest.name:
        yield "`name` is empty"
    if not manifest.categories:
        yield "`categories` is empty: each case needs one"
    for name, least in (("min_pairs", 1), ("max_completion_tokens", 1), ("temperature", 0), ("seed", 0)):
        if getattr(manifest, name) < least:
            yield f"`{name}` must be at least {least}"
    for name, count in Counter(criterion.name for criterion in manifest.criteria).items():
        if count > 1:
            yield f"{count} criteria are named {name!r}"
    yield from _category_complaints(manifest)


def _category_complaints(manifest: SuiteManifest) -> Iterator[str]:
    for criterion in manifest.criteria:
        if criterion.category is None:
            continue
        if criterion.category not in manifest.categories:
            yield f"criterion {criterion.name!r} names the category {criterion.category!r}, which `categories` lacks"
        if not criterion.metric.per_trial:
            yield f"criterion {criterion.name!r}: {criterion.metric} is the engine's, and has no categories"


def _read_cases(path: Path, manifest: SuiteManifest) -> Iterator[Case]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise SuiteError(f"{path}: {_in_words(error)}") from error
    line_of: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            case = _read_case(line, manifest)
        except UnicodeDecodeError as error:
            raise SuiteError(f"{path}, line {number}: not UTF-8: {error.reason} at byte {error.start}") from error
        except (msgspec.DecodeError, ValueError) as error:
            raise SuiteError(f"{path}, line {number}: {_in_words(error)}") from error
        if case.id in line_of:
            raise SuiteError(f"{path}, line {number}: the id {case.id!r} is that of line {line_of[case.id]} already")
        line_of[case.id] = number
        yield case


def _read_case(line: bytes, manifest: SuiteManifest) -> Case:
    """Raises ValueError (msgspec's errors and UnicodeDecodeError are such) with what is wrong."""
    written = msgspec.json.decode(line.decode(), type=_CaseLine)
    if written.category not in manifest.categories:
        known = ", ".join(manifest.categories)
        raise ValueError(f"unknown category {written.category!r}; the suite has: {known}")
    messages = written.messages
    if written.prompt is not None:
        if messages is not None:
            raise ValueError("has both `prompt` and `messages`; one of them is needed")
        messages = (ChatMessage(role="user", content=written.prompt),)
    if not messages or messages[-1].role != "user":
        raise ValueError("needs a `prompt`, or `messages` whose last is the user's")
    if manifest.system is not None and messages[0].role not in {"system", "developer"}:
        messages = (ChatMessage(role="system", content=manifest.system), *messages)
    return Case(
        id=written.id,
        category=written.category,
        tags=written.tags,
        messages=messages,
        grader=written.grader,
        max_completion_tokens=written.max_completion_tokens or manifest.max_completion_tokens,
    )


def _in_words(error: Exception) -> str:
    """Return msgspec's or the system's complaint with what a person needs to mend it."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, msgspec.DecodeError) and not isinstance(error, msgspec.ValidationError):
        return f"cannot be parsed: {error}"
    words = str(error)
    if "$.grader" in words and "kind" in words:
        return f"{words} (graders: {', '.join(grader_versions())})"
    return words
