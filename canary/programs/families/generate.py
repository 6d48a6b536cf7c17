"""Generate cases: from a seed, every family, the same cases wherever it is run."""

import itertools
import os
import random
from collections import Counter
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor

from canary.grading.plain_answer import PlainAnswer
from canary.programs.families import GENERATOR_VERSION
from canary.programs.families.conditions import CONDITIONS
from canary.programs.families.discrimination import DISCRIMINATION
from canary.programs.families.family import Family, PlainFamily
from canary.programs.families.field_access import FIELD_ACCESS
from canary.programs.families.iteration import ITERATION
from canary.programs.families.workflows import WORKFLOWS
from canary.programs.families.workshop import Workshop, plain_case
from canary.programs.reference import OracleFailed
from canary.suite.case import CaseLine

FAMILIES: tuple[Family | PlainFamily, ...] = (*DISCRIMINATION, *CONDITIONS, *FIELD_ACCESS, *ITERATION, *WORKFLOWS)
ATTEMPTS = 8


class FamilyExhausted(ValueError):
    """A family gave no further case that is sound and new."""


def generate(seed: int, per_family: int) -> tuple[CaseLine, ...]:
    """Return this many cases of each family. Each is checked, and no two have one prompt. Raises FamilyExhausted."""
    # Threads, as they wait for the sandbox's children most of the time.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        by_family = pool.map(_cases, FAMILIES, itertools.repeat(seed), itertools.repeat(per_family))
        cases = tuple(itertools.chain.from_iterable(by_family))
    prompt, count = Counter(case.prompt for case in cases).most_common(1)[0]
    if count > 1:
        raise FamilyExhausted(f"{count} cases have the prompt {prompt!r}")
    return cases


def sound_workshop(family: Family, seed: int, number: int, taken: AbstractSet[str] = frozenset()) -> Workshop:
    """Return a case of a family that is checked and whose prompt is not taken. Raises FamilyExhausted."""
    complaint = "its prompts are used up"
    for attempt in range(ATTEMPTS):
        workshop = Workshop(family, _generator(family.key, seed, number, attempt))
        if workshop.prompt in taken:
            continue
        try:
            workshop.strengthen()
        except OracleFailed as error:
            complaint = str(error)
            continue
        return workshop
    raise FamilyExhausted(f"family {family.key}, case {number}: {complaint}")


def _plain(family: PlainFamily, seed: int, number: int, taken: AbstractSet[str]) -> tuple[str, PlainAnswer]:
    rows = list(family.rows)
    random.Random(f"{GENERATOR_VERSION}/{seed}/{family.key}").shuffle(rows)  # noqa: S311 - to be repeated
    for attempt in range(ATTEMPTS):
        prompt, grader = plain_case(
            family, rows[(number - 1) % len(rows)], _generator(family.key, seed, number, attempt)
        )
        if prompt not in taken:
            return prompt, grader
    raise FamilyExhausted(f"family {family.key}, case {number}: its prompts are used up")


def _generator(key: str, seed: int, number: int, attempt: int) -> random.Random:
    return random.Random(f"{GENERATOR_VERSION}/{seed}/{key}/{number}/{attempt}")  # noqa: S311 - to be repeated


def _cases(family: Family | PlainFamily, seed: int, count: int) -> list[CaseLine]:
    cases: list[CaseLine] = []
    taken: set[str] = set()
    for number in range(1, count + 1):
        if isinstance(family, PlainFamily):
            prompt, grader = _plain(family, seed, number, taken)
        else:
            workshop = sound_workshop(family, seed, number, taken)
            prompt, grader = workshop.prompt, workshop.program
        taken.add(prompt)
        case = CaseLine(
            id=f"{family.category}-{family.key}-{number}",
            category=family.category,
            family=family.key,
            origin="generated",
            prompt=prompt,
            grader=grader,
        )
        cases.append(case)
    return cases
