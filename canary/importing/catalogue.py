"""The formats that can be imported, and how cases become a suite."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from canary.importing.bfcl import import_bfcl
from canary.importing.csv_table import import_csv
from canary.importing.imported import Imported, ImportOptions, refusal
from canary.importing.inspect_samples import import_inspect
from canary.importing.openai_evals import import_openai_evals
from canary.importing.promptfoo import import_promptfoo
from canary.suite.write import Draft, write_suite

FORMATS: dict[str, Callable[[Path, ImportOptions], Imported]] = {
    "csv": import_csv,
    "openai-evals": import_openai_evals,
    "promptfoo": import_promptfoo,
    "inspect": import_inspect,
    "bfcl": import_bfcl,
}


def import_suite(source: Path, directory: Path, *, form: str, options: ImportOptions) -> Imported:
    """Read the source and write a suite into the new directory.

    Raises SuiteError with the source's file and line for what cannot be read or is not supported, and UsageError where
    the directory cannot be written.
    """
    imported = FORMATS[form](source, options)
    if not imported.cases:
        raise refusal(source, None, "holds no case")
    twice = [name for name, count in Counter(case.id for case in imported.cases).items() if count > 1]
    if twice:
        raise refusal(source, None, f"the id {twice[0]!r} is given more than once")
    ignored = [f"Left out on request: {', '.join(sorted(options.ignore))}."] if options.ignore else []
    notes = "\n".join([*imported.notes, *ignored])
    draft = Draft(
        name=directory.resolve().name,
        purpose=f"Imported from {source.name}: say here what a model that passes can be trusted with.",
        notes=f"Imported from `{source.name}` ({form}).\n\n{notes}\n\n## Provenance and licence\n\nThe source's.",
        categories={name: name for name in sorted({case.category for case in imported.cases})},
        cases=imported.cases,
        system=imported.system,
    )
    write_suite(draft, directory)
    return imported
