"""The table that the campaign writes, here and in the README."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.campaign.clients.catalogue import Check, Client, Result

TABLE = Path(__file__).parents[1] / "clients.md"
README = Path(__file__).parents[3] / "README.md"
BEGIN, END = "<!-- clients: python -m tests.campaign.clients -->\n", "<!-- end of clients -->\n"
_COLUMNS = {
    Check.PLAIN: "plain",
    Check.STREAMED: "streamed",
    Check.TOOLS: "tools",
    Check.STRUCTURED: "structured output",
    Check.ERROR: "an error",
    Check.BROKEN: "an error in a stream",
    Check.CANCELLED: "cancellation",
}


def rows(found: Mapping[Client, Sequence[Result] | str]) -> str:
    """Return the table of what was found: results, or why there are none."""
    lines = [
        f"| client | version | {' | '.join(_COLUMNS.values())} |",
        f"|---|---|{'---|' * len(_COLUMNS)}",
    ]
    remarks: list[str] = []
    for client, results in found.items():
        cells = [""] * len(_COLUMNS) if isinstance(results, str) else [_cell(results, check) for check in _COLUMNS]
        mark = ""
        if said := _remarks(client, results):
            remarks.append(f"{len(remarks) + 1}. {client.shown}: {said}")
            mark = f" ({len(remarks)})"
        lines.append(f"| {client.shown}{mark} | {client.version} | {' | '.join(cells)} |")
    return "\n".join([*lines, *([""] if remarks else []), *remarks]) + "\n"


def failures(results: Sequence[Result] | str) -> list[str]:
    """Return what does not hold; a client that does not install tells nothing of the gateway."""
    return [] if isinstance(results, str) else [one.check for one in results if not one.passed]


def in_readme(table: str) -> str:
    """Return the README with that table in the place of its own."""
    before, _, rest = README.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def _cell(results: Sequence[Result], check: Check) -> str:
    said = {one.check: one.passed for one in results}
    return {True: "yes", False: "**no**", None: "-"}[said.get(check)]


def _remarks(client: Client, results: Sequence[Result] | str) -> str:
    if isinstance(results, str):
        return results
    failed = [f"{_COLUMNS[one.check]}: {_one_line(one.remark or '')}" for one in results if not one.passed]
    return " ".join(filter(None, [client.remark, *failed]))


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "/")[:200]
