"""`canary suite`: check, show, compare, start and import suites. No gateway is asked."""

import os
from pathlib import Path

import click

from canary.errors import ExitCode, SuiteError, UsageError
from canary.generation_cli import generate, mutate
from canary.importing import FORMATS, ImportOptions, import_suite
from canary.importing.answers import AnswerRule
from canary.suite import Suite, default_search_path, find_suite, load_suite
from canary.suite.diff import diff_suites
from canary.suite.lint import Finding, lint
from canary.suite.scaffold import write_scaffold
from canary.suite.schema import write_schemas
from canary.suite.show import show_case, show_suite

_suite_argument = click.argument("name", metavar="SUITE")
_new_directory = click.Path(path_type=Path)
_existing_file = click.Path(path_type=Path, dir_okay=False)


@click.group()
def suite() -> None:
    """Check, show, compare, start and import suites.

    A SUITE is a directory (./path or /path) or the name of one on the search path.
    """


@suite.command("lint")
@_suite_argument
def lint_command(*, name: str) -> ExitCode:
    """Report what is wrong with a suite; exit 2 where something is."""
    directory = find_suite(name, _search_path())
    findings = lint(directory)
    _print_findings(findings)
    errors = sum(finding.severity == "error" for finding in findings)
    click.echo(f"{directory}: {errors} errors, {len(findings) - errors} warnings")
    return ExitCode.USAGE if errors else ExitCode.PASSED


@suite.command()
@_suite_argument
@click.option("--tag", help="Only the cases with this tag.")
@click.option("--case", "case_id", metavar="ID", help="One case: what is sent and what is expected.")
def show(*, name: str, tag: str | None, case_id: str | None) -> ExitCode:
    """Print what a suite asks, how it is graded, and what decides."""
    loaded = _load(name, tag)
    if case_id is None:
        lines = show_suite(loaded)
    else:
        case = next((case for case in loaded.cases if case.id == case_id), None)
        if case is None:
            raise SuiteError(f"{name} has no case {case_id!r}")
        lines = show_case(case)
    for line in lines:
        click.echo(line)
    return ExitCode.PASSED


@suite.command()
@_suite_argument
def digest(*, name: str) -> ExitCode:
    """Print the digest of all that changes a score."""
    click.echo(_load(name).digest)
    return ExitCode.PASSED


@suite.command()
@click.argument("old", metavar="SUITE")
@click.argument("new", metavar="SUITE")
def diff(*, old: str, new: str) -> ExitCode:
    """Print what changes a score between two suites."""
    differences = list(diff_suites(_load(old), _load(new)))
    for line in differences or ["nothing that changes a score"]:
        click.echo(line)
    return ExitCode.PASSED


@suite.command()
@click.argument("directory", type=_new_directory)
def new(*, directory: Path) -> ExitCode:
    """Write a suite to start from into a new DIRECTORY."""
    write_scaffold(directory)
    click.echo(f"{directory}: replace its cases, then `canary suite lint {_as_path(directory)}`")
    return ExitCode.PASSED


@suite.command("import")
@click.argument("form", metavar="FORMAT", type=click.Choice(list(FORMATS)))
@click.argument("source", type=_existing_file)
@click.option("--to", "directory", type=_new_directory, required=True, help="The new suite's directory.")
@click.option("--answers", type=_existing_file, help="bfcl: the file of possible answers.")
@click.option(
    "--rule", type=click.Choice([rule.value for rule in AnswerRule]), help="How answers are compared, where it is open."
)
@click.option("--ignore", multiple=True, metavar="NAME", help="Leave out a field or column; may be repeated.")
def import_command(
    *, form: str, source: Path, directory: Path, answers: Path | None, rule: str | None, ignore: tuple[str, ...]
) -> ExitCode:
    """Make a suite of another tool's data: csv, openai-evals, promptfoo, inspect or bfcl."""
    options = ImportOptions(answers=answers, rule=AnswerRule(rule) if rule else None, ignore=frozenset(ignore))
    imported = import_suite(source, directory, form=form, options=options)
    for note in imported.notes:
        click.echo(note)
    findings = lint(directory)
    _print_findings(findings)
    click.echo(
        f"{directory}: {len(imported.cases)} cases. Judge with: canary evaluate MODEL --suite {_as_path(directory)}"
    )
    return ExitCode.USAGE if any(finding.severity == "error" for finding in findings) else ExitCode.PASSED


@suite.command()
@click.argument("directory", type=_new_directory)
def schema(*, directory: Path) -> ExitCode:
    """Write the JSON Schemas of a suite's files into DIRECTORY, for editors."""
    try:
        paths = write_schemas(directory)
    except OSError as error:
        raise UsageError(f"{directory} cannot be written: {error.strerror or error}") from error
    for path in paths:
        click.echo(path)
    return ExitCode.PASSED


suite.add_command(generate)
suite.add_command(mutate)


def _load(name: str, tag: str | None = None) -> Suite:
    return load_suite(name, search_path=_search_path(), tag=tag)


def _search_path() -> tuple[Path, ...]:
    return default_search_path(os.environ)


def _as_path(directory: Path) -> str:
    """Return the directory as a SUITE that is taken as a path, not as a name."""
    return str(directory) if "/" in str(directory) else f"./{directory}"


def _print_findings(findings: tuple[Finding, ...]) -> None:
    for finding in findings:
        click.echo(f"{finding.severity}: {finding.message}")
