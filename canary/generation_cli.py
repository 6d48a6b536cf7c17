"""`canary suite generate` and `canary suite mutate`: cases of the generated families, and how good their grading is."""

import shutil
from pathlib import Path

import click
import msgspec

from canary.errors import ExitCode, UsageError
from canary.programs.families import GENERATOR_VERSION
from canary.suite import CASES_FILE, MANIFEST_FILE, load_suite
from canary.suite.tools_file import TOOLS_FILE
from gateway.contracts.heldout import heldout_seed

LEAST_KILLED_RATIO = 0.99
"""Of the mutants that are not equivalent; fewer fail the command, and so does one right program that is refused."""

GENERATED_TAG = "generated"

_NOTES_FILE = "NOTES.md"
_per_family = click.option("--per-family", type=click.IntRange(min=1), default=3, show_default=True)


@click.command()
@click.argument("directory", metavar="SUITE", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--seed", type=click.IntRange(min=0), help="Any number; the same one gives the same cases.")
@click.option(
    "--incumbent", metavar="DIGEST", help="Instead of a seed: the incumbent's digest, of a held-out campaign."
)
@click.option("--campaign", type=click.IntRange(min=0), default=0, show_default=True, help="The campaign's number.")
@_per_family
@click.option("--to", type=click.Path(path_type=Path), required=True, help="The new suite's directory.")
def generate(
    *, directory: Path, seed: int | None, incumbent: str | None, campaign: int, per_family: int, to: Path
) -> ExitCode:
    """Write a suite of generated cases, with the system prompt, criteria and categories of SUITE, a directory.

    Every case is checked: its oracle runs, its fields matter, wrong programs are refused, its prompt is its own.
    """
    # Imported here: families take a while to import, and no other command needs them.
    from canary.programs.families import generate as families  # noqa: PLC0415

    if (seed is None) == (incumbent is None):
        raise UsageError("name either a --seed, or the --incumbent of a held-out campaign")
    if to.exists() and any(to.iterdir()):
        raise UsageError(f"{to} is not empty: name a new directory")
    suite = load_suite(f"{directory}/", search_path=())
    drawn = seed if seed is not None else heldout_seed(suite.digest, incumbent or "", campaign)
    try:
        cases = families.generate(drawn, per_family)
    except families.FamilyExhausted as error:
        raise UsageError(f"seed {drawn}: {error}; another seed draws other cases") from error
    to.mkdir(parents=True, exist_ok=True)
    for name in (MANIFEST_FILE, TOOLS_FILE):
        if (directory / name).exists():
            shutil.copyfile(directory / name, to / name)
    # With a tag of their own, as the copied `suite.toml` may draw held-out cases beside them.
    tagged = (msgspec.structs.replace(case, tags=(GENERATED_TAG,)) for case in cases)
    (to / CASES_FILE).write_bytes(b"".join(msgspec.json.encode(case) + b"\n" for case in tagged))
    (to / _NOTES_FILE).write_text(
        f"# {suite.manifest.name}, generated\n\nSeed {drawn}, {per_family} a family, generator version "
        f"{GENERATOR_VERSION}, from the suite with the digest {suite.digest}.\n",
        encoding="utf-8",
    )
    click.echo(f"{to}: {len(cases)} cases of {len({case.family for case in cases})} families, seed {drawn}")
    return ExitCode.PASSED


@click.command()
@click.option("--seed", type=click.IntRange(min=0), required=True)
@_per_family
@click.option(
    "--write", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="NOTES.md to put the table in."
)
def mutate(*, seed: int, per_family: int, write: Path | None) -> ExitCode:
    """Measure what share of wrong programs the program grader refuses, and of right ones it accepts."""
    from canary.programs.mutation import measure, table, written_into  # noqa: PLC0415 - as above

    tally = measure(seed, per_family)
    content = table(tally, f"canary suite mutate --seed {seed} --per-family {per_family}")
    click.echo(content)
    for family, mutant in tally.survivors:
        click.echo(f"\nsurvived: {family}, {mutant.operator}\n{mutant.source}")
    for family, rewrite in tally.refusals:
        click.echo(f"\nrefused: {family}, {rewrite.kind}\n{rewrite.source}")
    if write is not None:
        write.write_text(written_into(write.read_text(encoding="utf-8"), content), encoding="utf-8")
    return ExitCode.FAILED if tally.refusals or tally.killed_ratio < LEAST_KILLED_RATIO else ExitCode.PASSED
