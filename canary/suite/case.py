"""One input with its expectation: as a line of `cases.jsonl` writes it, and as it is run."""

from pathlib import Path
from typing import Literal

import msgspec

from canary.grading import Expectation, Grader, Setting, identity_of, make_ready, stubs_of
from canary.programs.tools import Catalogue
from gateway.contracts.chat import ChatMessage
from gateway.contracts.digests import digest_of
from gateway.contracts.evaluations import CaseRef
from gateway.contracts.heldout import HELDOUT_TAG
from gateway.contracts.suites import NonEmpty, Positive, SuiteManifest


class CaseLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One line of `cases.jsonl`, as people write it: a `prompt`, or `messages` that end with the user's."""

    id: NonEmpty
    category: str
    family: NonEmpty | None = None
    """Cases of one template, which fail together. A written or imported case that names none is its own."""
    origin: Literal["written", "imported", "generated"] = "written"
    tags: tuple[NonEmpty, ...] = ()
    prompt: NonEmpty | None = None
    messages: tuple[ChatMessage, ...] | None = None
    grader: Expectation
    max_completion_tokens: Positive | None = None


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One input with its expectation; the manifest's defaults are applied."""

    id: str
    category: str
    family: str
    tags: tuple[str, ...]
    messages: tuple[ChatMessage, ...]
    grader: Grader
    max_completion_tokens: int

    @property
    def prompt(self) -> str:
        """The last user message."""
        return self.messages[-1].text

    @property
    def digest(self) -> str:
        """Of all that changes the case's score. The order of tags does not."""
        return digest_of(
            {
                "id": self.id,
                "category": self.category,
                "family": self.family,
                "tags": sorted(set(self.tags)),
                "messages": [_as_one_string(message) for message in self.messages],
                "grader": identity_of(self.grader),
                "max_completion_tokens": self.max_completion_tokens,
            }
        )

    def reference(self) -> CaseRef:
        return CaseRef(
            id=self.id,
            category=self.category,
            digest=self.digest,
            prompt=self.prompt,
            expectation=self.grader.describe(),
            family=self.family,
            heldout=HELDOUT_TAG in self.tags,
            tags=tuple(sorted(set(self.tags))),
        )


def _as_one_string(message: ChatMessage) -> ChatMessage:
    """Return the message with its text in one part: the model is sent the same either way."""
    return msgspec.structs.replace(message, content=message.text) if isinstance(message.content, tuple) else message


TOOLS_PLACE = "{tools}"
"""In a system prompt: where the stubs of the tools stand that the case's grader offers."""


def complete(line: CaseLine, manifest: SuiteManifest, *, directory: Path, tools: Catalogue, place: str) -> Case:
    """Apply the manifest's defaults; `place` is where the case stands. Raises ValueError with what is wrong."""
    if line.category not in manifest.categories:
        known = ", ".join(manifest.categories)
        raise ValueError(f"unknown category {line.category!r}; the suite has: {known}")
    if line.origin == "generated" and line.family is None:
        raise ValueError("a generated case needs a `family`: cases of one template fail together")
    messages = _messages(line, manifest)
    setting = Setting(directory=directory, tools=tools, case_id=line.id, place=place, prompt=messages[-1].text)
    grader = make_ready(line.grader, setting)
    return Case(
        id=line.id,
        category=line.category,
        family=line.family or line.id,
        tags=line.tags,
        messages=_with_stubs(messages, stubs_of(grader)),
        grader=grader,
        max_completion_tokens=line.max_completion_tokens or manifest.max_completion_tokens,
    )


def _messages(line: CaseLine, manifest: SuiteManifest) -> tuple[ChatMessage, ...]:
    messages = line.messages
    if line.prompt is not None:
        if messages is not None:
            raise ValueError("has both `prompt` and `messages`; one of them is needed")
        messages = (ChatMessage(role="user", content=line.prompt),)
    if not messages or messages[-1].role != "user":
        raise ValueError("needs a `prompt`, or `messages` whose last is the user's")
    if manifest.system is not None and messages[0].role not in {"system", "developer"}:
        return (ChatMessage(role="system", content=manifest.system), *messages)
    return messages


def _with_stubs(messages: tuple[ChatMessage, ...], stubs: str | None) -> tuple[ChatMessage, ...]:
    if stubs is None:
        return messages
    shown = tuple(
        msgspec.structs.replace(message, content=message.text.replace(TOOLS_PLACE, stubs))
        if message.role in {"system", "developer"}
        else message
        for message in messages
    )
    if shown == messages:
        raise ValueError(f"offers tools, and no system prompt has {TOOLS_PLACE} for their stubs to stand in")
    return shown
