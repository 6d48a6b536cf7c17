"""Plant each fault in a build of the embedded model and see what finds it, as `canary selftest` does.

    python -m tests.campaign.planted_faults [--state DIR]

writes `tests/campaign/planted_faults.md` and exits 1 where a fault was not found, or a sound build was rejected.
"""

import argparse
import os
import sys
from pathlib import Path

import structlog

from canary.report.markdown import markdown_table
from canary.selftest import golden_programs, planted_faults
from canary.selftest_cli import findings_table
from canary.suite import default_search_path
from gateway.contracts.evaluations import Trial
from tests.bench.environment import describe
from tests.campaign.built import building_gateway, with_good_blas

RESULTS = Path(__file__).with_suffix(".md")


class Told:
    """Progress on standard error."""

    def note(self, sentence: str) -> None:
        print(sentence, file=sys.stderr, flush=True)  # noqa: T201 - a command's progress

    def on_trial(self, trial: Trial, total: int) -> None:
        """Nothing is tried here."""

    def on_case(self, standings: object) -> None:
        """Nothing is tried here."""


def main() -> int:
    with_good_blas()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(file=sys.stderr))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path)
    goldens, progress, environment = golden_programs(list(default_search_path(os.environ))), Told(), describe()
    with building_gateway(parser.parse_args().state) as (gateway, deployment):
        findings = list(planted_faults(gateway, deployment, None, goldens, progress))
    RESULTS.write_text(
        "\n".join(
            (
                "# Planted faults, and what finds them",
                "",
                f"`python -m tests.campaign.planted_faults`, SmolLM2-135M, at {environment.commit} on "
                f"{environment.cores} cores with a load of {environment.load_before:.1f} before. A build that was "
                "there already (`--state`) has the time that it took when it was made.",
                "",
                *markdown_table(findings_table(findings)),
            )
        )
    )
    return 0 if all(finding.as_it_must_be for finding in findings) else 1


if __name__ == "__main__":
    sys.exit(main())
