"""Held-out cases: drawn for a run, the same for all of its systems, other ones for each run, and in no file."""

import json
from pathlib import Path

import pytest

from canary.errors import SuiteError
from canary.programs.families import generate as generation
from canary.programs.families.family import PlainFamily
from canary.suite import Suite, load_suite, with_heldout
from canary.suite.lint import lint
from gateway.contracts.heldout import HELDOUT_TAG, draw_digest, heldout_seed

MANIFEST = """name = "mini"
purpose = "A test."
system = "Write a program with these:\\n{tools}"
measures = ["field_access"]
[categories]
A = "Discrimination"
B = "Conditional logic"
C = "Field access"
D = "Iteration"
E = "Workflows"
[heldout]
generator = 2
per_family = 2
"""
CASE = {
    "id": "own",
    "category": "A",
    "tags": ["public"],
    "prompt": "What is 2 + 2?",
    "grader": {"kind": "numeric", "value": 4},
}
INCUMBENT = "1" * 64


@pytest.fixture(autouse=True)
def few_families(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = tuple(family for family in generation.FAMILIES if family.key in {"know_unit", "above"})
    monkeypatch.setattr(generation, "FAMILIES", chosen)


def load(parent: Path, *, manifest: str = MANIFEST, tag: str | None = None, **changes: object) -> Suite:
    directory = parent / "mini"
    directory.mkdir(exist_ok=True)
    (directory / "suite.toml").write_text(manifest)
    (directory / "cases.jsonl").write_text(json.dumps({**CASE, **changes}) + "\n")
    return load_suite("mini", search_path=[parent], tag=tag)


def drawn_prompts(suite: Suite) -> set[str]:
    return {case.prompt for case in suite.cases if HELDOUT_TAG in case.tags}


def test_cases_are_drawn_beside_the_written_ones_and_the_record_says_how(tmp_path: Path) -> None:
    suite = load(tmp_path)
    drawn = with_heldout(suite, incumbent_digest=INCUMBENT, campaign=3)

    assert [case.id for case in suite.cases] == ["own"]
    assert len(drawn.cases) == 1 + 2 * 2
    assert drawn.digest == suite.digest
    said = drawn.reference().heldout
    assert said is not None
    assert (said.campaign, said.generator, said.per_family) == (3, 2, 2)
    assert said.seed == heldout_seed(suite.digest, INCUMBENT, 3)
    references = [case.reference() for case in drawn.cases]
    assert said.digest == draw_digest(case.digest for case in references if case.heldout)
    assert [case.id for case in references if not case.heldout] == ["own"]


def test_a_draw_follows_from_suite_incumbent_and_campaign(tmp_path: Path) -> None:
    suite = load(tmp_path)
    draws = {
        name: drawn_prompts(with_heldout(each, incumbent_digest=incumbent, campaign=campaign))
        for name, each, incumbent, campaign in (
            ("one", suite, INCUMBENT, 1),
            ("again", suite, INCUMBENT, 1),
            ("campaign", suite, INCUMBENT, 2),
            ("incumbent", suite, "2" * 64, 1),
            ("suite", load(tmp_path, prompt="What is 1 + 3?"), INCUMBENT, 1),
        )
    }

    assert draws["one"] == draws["again"]
    assert all(draws["one"] != draws[other] for other in ("campaign", "incumbent", "suite"))


def test_a_tag_chooses_written_or_drawn_cases(tmp_path: Path) -> None:
    def ids(tag: str) -> list[str]:
        drawn = with_heldout(load(tmp_path, tag=tag), incumbent_digest=INCUMBENT, campaign=1)
        assert (drawn.reference().heldout is not None) == (tag == HELDOUT_TAG)
        return [case.id for case in drawn.cases]

    assert ids("public") == ["own"]
    assert len(ids(HELDOUT_TAG)) == 4
    assert all(case_id.startswith("heldout-") for case_id in ids(HELDOUT_TAG))


def test_a_suite_without_the_table_draws_nothing(tmp_path: Path) -> None:
    suite = load(tmp_path, manifest=MANIFEST.partition("[heldout]")[0])

    assert with_heldout(suite, incumbent_digest=INCUMBENT, campaign=1) == suite
    with pytest.raises(SuiteError, match="no case has the tag 'heldout'"):
        load(tmp_path, manifest=MANIFEST.partition("[heldout]")[0], tag=HELDOUT_TAG)


def test_the_digest_covers_what_is_drawn(tmp_path: Path) -> None:
    digests = {
        load(tmp_path, manifest=manifest).digest
        for manifest in (MANIFEST, MANIFEST.replace("per_family = 2", "per_family = 3"), MANIFEST.partition("[held")[0])
    }

    assert len(digests) == 3


def test_a_family_that_gives_no_further_case_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "FAMILIES", (PlainFamily(key="only", prompts=("What is this?",), pattern="x"),))
    with pytest.raises(SuiteError, match=r"the held-out cases of campaign 4 \(seed \d+\) cannot be drawn: family only"):
        with_heldout(load(tmp_path), incumbent_digest=INCUMBENT, campaign=4)


def test_lint_counts_the_drawn_cases(tmp_path: Path) -> None:
    load(tmp_path, manifest='profile = "seed"\nmin_pairs = 5\n' + MANIFEST)
    assert [finding.message for finding in lint(tmp_path / "mini") if finding.severity == "error"] == []
    load(tmp_path, manifest='profile = "seed"\nmin_pairs = 6\n' + MANIFEST)
    assert "nothing can be decided" in lint(tmp_path / "mini")[0].message


def test_no_file_holds_a_held_out_case(tmp_path: Path) -> None:
    with pytest.raises(
        SuiteError, match=r"cases\.jsonl, line 1: the tag 'heldout' is that of cases which no file holds"
    ):
        load(tmp_path, tags=[HELDOUT_TAG])


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("generator = 2", "generator = 7", 12, "no version 7 of the generator any more; the version that exists: 2"),
        ("per_family = 2", "per_family = 0", 13, ">= 1"),
        ("per_family = 2", "per_family = 2\nfamily = 3", 14, "unknown field `family`"),
        ('B = "Conditional logic"\n', "", 10, "of the categories A, B, C, D, E, and 'B' is none"),
        ("{tools}", "", 11, "`system` has no {tools}"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, old: str, new: str, line: int, words: str) -> None:
    with pytest.raises(SuiteError) as raised:
        load(tmp_path, manifest=MANIFEST.replace(old, new))
    assert str(raised.value).startswith(f"{tmp_path / 'mini' / 'suite.toml'}, line {line}: ")
    assert words in str(raised.value)
