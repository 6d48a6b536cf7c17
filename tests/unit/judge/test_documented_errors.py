"""The figures in canary/README.md are those that the simulation wrote."""

from pathlib import Path

import canary.cli
from tests.campaign.operating_characteristics import TABLE, scenarios

README = Path(canary.cli.__file__).parent / "README.md"


def rows_of(file: Path, *, start: str, end: str) -> list[str]:
    text = file.read_text(encoding="utf-8")
    section = text[text.index(start) : text.index(end) if end else None]
    return [line for line in section.splitlines() if line.startswith("| ") and "**" not in line]


def test_every_row_of_the_readme_stands_in_the_committed_table() -> None:
    documented = rows_of(README, start="### Its errors, measured", end="## What profile `seed` cannot establish")
    assert len(documented) > 15
    assert set(documented) <= set(rows_of(TABLE, start="# Operating", end=""))


def test_the_committed_table_has_every_truth_and_meets_every_demand() -> None:
    rows = [line.split(" | ") for line in rows_of(TABLE, start="# Operating", end="") if not line.startswith("| truth")]
    demanded = list(scenarios())
    assert [row[0].removeprefix("| ") for row in rows] == [scenario.name for scenario in demanded]
    for row, scenario in zip(rows, demanded, strict=True):
        promoted, rejected, _, cases = (float(cell) for cell in row[1:5])
        assert scenario.most_promoted is None or promoted <= scenario.most_promoted
        assert scenario.least_promoted is None or promoted >= scenario.least_promoted
        assert scenario.most_rejected is None or rejected <= scenario.most_rejected
        assert scenario.most_cases is None or cases <= scenario.most_cases
