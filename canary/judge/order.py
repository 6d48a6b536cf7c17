"""The order in which a run goes through its cases, which its seed alone decides."""

import functools
import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence

from gateway.contracts.evaluations import CaseRef

_DIGITS = 8
"""Bytes of a digest that make a fraction: two fractions of a run are never equal by chance."""


def case_order(cases: Sequence[CaseRef], seed: int) -> tuple[CaseRef, ...]:
    """Return the cases in rounds: each round has one case of every family that has any left.

    Within a round the categories are spread evenly, so that each beginning of the order holds them, and the families,
    in about the same shares as the whole. What chance decides is drawn by hashing the seed with each identifier: the
    order depends on no library's generator, and not on the order in which the cases are given.
    """
    return _ordered(tuple(cases), seed)


def family_of(case: CaseRef) -> str:
    """Return what the case fails together with; a case that names no family is its own, which no name can equal."""
    return f"family {case.family}" if case.family else f"case {case.id}"


@functools.lru_cache(maxsize=4)  # of few runs, each of which is read after every case
def _ordered(cases: tuple[CaseRef, ...], seed: int) -> tuple[CaseRef, ...]:
    return tuple(case for cases_of_round in _rounds(cases, seed) for case in _spread(cases_of_round, seed))


def _rounds(cases: Sequence[CaseRef], seed: int) -> Iterator[list[CaseRef]]:
    by_family: dict[str, list[CaseRef]] = defaultdict(list)
    for case in sorted(cases, key=lambda case: _draw(seed, case.id)):
        by_family[family_of(case)].append(case)
    for position in range(max(map(len, by_family.values()), default=0)):
        yield [members[position] for members in by_family.values() if position < len(members)]


def _spread(cases: Sequence[CaseRef], seed: int) -> list[CaseRef]:
    """Sort by how far through its own category each case comes, where each category starts at a drawn fraction."""
    by_category: dict[str, list[CaseRef]] = defaultdict(list)
    for case in sorted(cases, key=lambda case: _draw(seed, case.id)):
        by_category[case.category].append(case)
    placed = [
        ((position + _draw(seed, f"category {category}")) / len(members), case.id, case)
        for category, members in by_category.items()
        for position, case in enumerate(members)
    ]
    return [case for _, _, case in sorted(placed, key=lambda place: place[:2])]


def _draw(seed: int, name: str) -> float:
    """Return a fraction in [0, 1)."""
    digest = hashlib.sha256(f"{seed}|{name}".encode()).digest()
    return int.from_bytes(digest[:_DIGITS]) / 256**_DIGITS
