"""A suite of sums that all make four, written where a test wants it."""

import json
from pathlib import Path


def write_mini_suite(parent: Path, *, name: str = "mini", count: int = 12, seed: int = 0) -> Path:
    """Write `<parent>/<name>` with `count` cases, all tagged `demo`; the answer `4` is right for each."""
    directory = parent / name
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "suite.toml").write_text(
        f'name = "{name}"\npurpose = "A test."\nseed = {seed}\nprofile = "seed"\n[categories]\nsums = "Sums"\n'
    )
    cases = (
        {
            "id": f"sum-{number:02}",
            "category": "sums",
            "tags": ["demo"],
            "prompt": f"What is {number} + {4 - number}?",
            "grader": {"kind": "numeric", "value": 4},
        }
        for number in range(count)
    )
    (directory / "cases.jsonl").write_text("".join(json.dumps(case) + "\n" for case in cases))
    return directory
