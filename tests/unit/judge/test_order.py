"""The order of a run's cases, one rule a test."""

from collections import Counter

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from canary.judge.order import case_order, family_of
from gateway.contracts.evaluations import CaseRef


def case(name: str, *, category: str = "a", family: str = "") -> CaseRef:
    return CaseRef(id=name, category=category, digest="d", prompt="?", expectation="!", family=family)


def families_of_four(count: int) -> list[CaseRef]:
    return [
        case(f"{family}-{variant}", category="abcde"[family % 5], family=f"f{family}")
        for family in range(count)
        for variant in range(4)
    ]


def test_every_round_has_one_case_of_each_family() -> None:
    order = case_order(families_of_four(20), seed=3)
    for start in range(0, 80, 20):
        assert len({each.family for each in order[start : start + 20]}) == 20


def test_a_family_with_few_cases_is_in_the_first_rounds_only() -> None:
    cases = [*families_of_four(3), case("alone", family="short")]
    positions = [each.id for each in case_order(cases, seed=1)]
    assert positions.index("alone") < 4


def test_each_beginning_holds_the_categories_in_their_shares() -> None:
    cases = [case(f"{category}{number}", category=category) for category in "ab" for number in range(40)]
    cases += [case(f"c{number}", category="c") for number in range(20)]
    order = case_order(cases, seed=9)
    for length in range(10, 101, 10):
        shares = Counter(each.category for each in order[:length])
        for category, share in (("a", 0.4), ("b", 0.4), ("c", 0.2)):
            assert abs(shares[category] - share * length) <= 1


@given(st.permutations(families_of_four(5)), st.integers(0, 2**63 - 1))
def test_the_seed_alone_decides_the_order(cases: list[CaseRef], seed: int) -> None:
    assert case_order(cases, seed) == case_order(families_of_four(5), seed)


def test_another_seed_is_another_order() -> None:
    cases = families_of_four(20)
    assert case_order(cases, 1) != case_order(cases, 2)


def test_every_case_comes_first_of_its_family_about_as_often_as_the_others() -> None:
    cases = families_of_four(1)
    first = Counter(case_order(cases, seed)[0].id for seed in range(400))
    # Chi-square with 3 degrees of freedom exceeds 20 once in 6000 hash functions; the draw is fixed.
    assert sum((count - 100) ** 2 / 100 for count in first.values()) < 20


def test_cases_without_a_family_are_each_their_own_and_share_none_with_a_family_of_their_name() -> None:
    alone = case("x")
    assert family_of(alone) != family_of(msgspec.structs.replace(alone, id="y"))
    assert family_of(alone) != family_of(case("z", family="x"))
