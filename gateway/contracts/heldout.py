"""Held-out cases: drawn anew for every run, the same for all of its systems, from a seed that nobody knows before."""

import hashlib
from collections.abc import Iterable
from typing import Annotated

import msgspec

from gateway.contracts.digests import digest_of

HELDOUT_TAG = "heldout"
"""Of every drawn case, and of no other: a run with this tag leaves out the cases that are written down."""
_SEED_BYTES = 8


class Heldout(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a suite says of the cases that are drawn when it runs."""

    generator: Annotated[int, msgspec.Meta(ge=1)]
    """The version of the generator of program families that the suite was written for."""
    per_family: Annotated[int, msgspec.Meta(ge=1, le=10)]
    """Cases drawn of each family."""


class HeldoutDraw(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was drawn for one run. Whoever has the suite can draw it again."""

    campaign: int
    """The run's number among those of its model and suite, from 1."""
    seed: int
    """`heldout_seed` of the suite's digest, the incumbent's and the campaign."""
    generator: int
    per_family: int
    digest: str
    """`draw_digest` of the drawn cases."""


def heldout_seed(suite_digest: str, incumbent_digest: str, campaign: int) -> int:
    """Return a campaign's seed, one for all candidates, and unknown until the suite and the incumbent are."""
    content = f"{suite_digest}|{incumbent_digest}|{campaign}".encode()
    return int.from_bytes(hashlib.sha256(content).digest()[:_SEED_BYTES])


def draw_digest(case_digests: Iterable[str]) -> str:
    """Return the digest of a set of cases, in whatever order they come."""
    return digest_of(sorted(case_digests))
