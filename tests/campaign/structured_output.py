"""Whether every document that a grammar lets through is valid: over random schemas and JSON Schema's own test suite.

    pip download --no-deps --no-binary :all: jsonschema==4.26.0
    python -m tests.campaign.structured_output --suite jsonschema-4.26.0.tar.gz

The archive brings the public suite (draft 2020-12). The documents are random walks through the grammar over the
embedded model's vocabulary, each token drawn evenly from those that are allowed: what no weights and no temperature
go beyond. Where the suite says that an instance is invalid, the grammar must not let it through either. The table is
written to structured_output.md beside this file; the exit status is 1 where anything invalid came through.
"""

import argparse
import json
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import llguidance
from tokenizers import Tokenizer

from gateway.engine.grammar import Constraint, GrammarError, Grammars
from gateway.wire import GrammarKind, GrammarSpec
from tests.support.models import embedded_model
from tests.support.schemas import random_schema
from tests.support.walks import Walker, accepts

TABLE = Path(__file__).with_suffix(".md")
_SUITE_FOLDER = "/json/tests/draft2020-12/"
_SUITE_WALK_TOKENS = 60
END_TOKEN = 2
"""Of the embedded model's vocabulary."""


@dataclass
class Tally:
    schemas: int = 0
    refused: int = 0
    whole: int = 0
    """Walks that came to the grammar's end."""
    cut: int = 0
    instances: int = 0
    """Invalid instances of the suite that were shown to the grammar."""
    failures: list[str] = field(default_factory=list[str])

    def row(self, name: str) -> str:
        return (
            f"| {name} | {self.schemas} | {self.refused} | {self.whole} | {self.cut} | {self.instances} "
            f"| {len(self.failures)} |"
        )


class Campaign:
    def __init__(self, grammars: Grammars) -> None:
        self._grammars = grammars
        self._walker = Walker(grammars)

    def random_schemas(self, count: int, *, walks: int) -> Tally:
        tally = Tally()
        for seed in range(count):
            self._walk(tally, random_schema(seed), f"random schema {seed}", walks=walks, max_tokens=200)
        return tally

    def suite(self, archive: Path) -> dict[str, Tally]:
        """Return a tally for each file of the suite."""
        tallies: dict[str, Tally] = {}
        for name, case in _cases(archive):
            tally = tallies.setdefault(name, Tally())
            schema = case["schema"]
            if not isinstance(schema, dict):  # OpenAI's field takes objects only.
                continue
            about = f"{name}: {case['description']}"
            if self._walk(tally, schema, about, walks=2, max_tokens=_SUITE_WALK_TOKENS):
                self._show(tally, schema, case["tests"], about)
        return tallies

    def _walk(self, tally: Tally, schema: Any, about: str, *, walks: int, max_tokens: int) -> bool:
        """Walk through the schema's grammar and judge what comes of it; return whether there is a grammar."""
        tally.schemas += 1
        validator = jsonschema.Draft202012Validator(
            schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
        )
        for seed in range(walks):
            try:
                constraint = self._compile(schema)
            except GrammarError:
                tally.refused += 1
                return False
            document = self._walker.walk(constraint, seed=seed, max_tokens=max_tokens)
            if document is None:
                tally.cut += 1
                continue
            tally.whole += 1
            if not validator.is_valid(json.loads(document)):  # pyright: ignore[reportUnknownMemberType] - untyped
                tally.failures.append(f"{about}: wrote {document[:100]}")
        return True

    def _show(self, tally: Tally, schema: Any, tests: list[Any], about: str) -> None:
        """Show the grammar the suite's invalid instances, with blanks and without."""
        for test in tests:
            if test["valid"]:
                continue
            tally.instances += 1
            spaced = json.dumps(test["data"])
            dense = json.dumps(test["data"], separators=(",", ":"), ensure_ascii=False)
            if any(accepts(self._grammars, self._compile(schema), document) for document in (spaced, dense)):
                tally.failures.append(f"{about}: let through {spaced[:100]} ({test['description']})")

    def _compile(self, schema: Any) -> Constraint:
        return self._grammars.compile(
            GrammarSpec(kind=GrammarKind.JSON_SCHEMA, source=json.dumps(schema), param="response_format")
        )


def _cases(archive: Path) -> Iterator[tuple[str, Any]]:
    """Yield the suite's cases with their file's name: those that a draft demands, and the formats."""
    with tarfile.open(archive) as files:
        for member in files.getmembers():
            _, found, name = member.name.partition(_SUITE_FOLDER)
            if not found or not name.endswith(".json") or (name.startswith("optional/") and "/format/" not in name):
                continue
            file = files.extractfile(member)
            assert file is not None
            for case in json.load(file):
                yield name, case


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", type=Path, required=True, help="the source archive of jsonschema")
    parser.add_argument("--schemas", type=int, default=300)
    parser.add_argument("--walks", type=int, default=4, help="through each random schema")
    options = parser.parse_args()
    vocabulary = Tokenizer.from_file(str(embedded_model() / "tokenizer.json")).to_str()
    campaign = Campaign(Grammars(llguidance.LLTokenizer(vocabulary, eos_token=[END_TOKEN]), [END_TOKEN]))
    tallies = {"random schemas": campaign.random_schemas(options.schemas, walks=options.walks)}
    tallies |= {f"suite: {name}": tally for name, tally in sorted(campaign.suite(options.suite).items())}
    command = f"python -m tests.campaign.structured_output --suite {options.suite.name} --schemas {options.schemas}"
    TABLE.write_text(_report(tallies, command))
    failures = [failure for tally in tallies.values() for failure in tally.failures]
    sys.stdout.write("\n".join([*failures, f"{len(failures)} failures; see {TABLE.name}"]) + "\n")
    return 1 if failures else 0


def _report(tallies: dict[str, Tally], command: str) -> str:
    total = Tally(
        schemas=sum(tally.schemas for tally in tallies.values()),
        refused=sum(tally.refused for tally in tallies.values()),
        whole=sum(tally.whole for tally in tallies.values()),
        cut=sum(tally.cut for tally in tallies.values()),
        instances=sum(tally.instances for tally in tallies.values()),
        failures=[failure for tally in tallies.values() for failure in tally.failures],
    )
    head = (
        "# Structured output: what grammars let through\n\n"
        f"Written by `{command}`.\n"
        "A whole document is a random walk that came to its grammar's end, and was validated by `jsonschema`, formats\n"
        "included; a cut one met the limit on its length. Invalid instances are the suite's own.\n\n"
        "| schemas from | schemas | refused by name | whole documents | cut | invalid instances shown | let through |\n"
        "|---|---:|---:|---:|---:|---:|---:|\n"
    )
    rows = [tally.row(name) for name, tally in tallies.items()]
    return head + "\n".join([*rows, total.row("**all**")]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
