"""Draw a suite's held-out cases: those of its families that no file holds, for one run."""

from pathlib import Path

import msgspec

from canary.errors import SuiteError
from canary.programs.families import GENERATOR_VERSION
from canary.suite.case import complete
from canary.suite.suite import Suite
from gateway.contracts.heldout import HELDOUT_TAG, HeldoutDraw, draw_digest, heldout_seed


def with_heldout(suite: Suite, *, incumbent_digest: str, campaign: int) -> Suite:
    """Return the suite with the cases that are drawn for this campaign, or as it is where it draws none.

    The seed follows from the suite, the incumbent and the campaign: nobody can have trained on the cases, and all
    systems of the run get the same ones. Raises SuiteError where a family gives no sound case.
    """
    if not suite.draws_heldout or suite.manifest.heldout is None:
        return suite
    # Families take a while to import, and most suites have none.
    from canary.programs.families.generate import FamilyExhausted, generate  # noqa: PLC0415 - said above

    manifest, per_family = suite.manifest, suite.manifest.heldout.per_family
    seed = heldout_seed(suite.digest, incumbent_digest, campaign)
    try:
        drawn = generate(seed, per_family)
    except FamilyExhausted as error:
        raise SuiteError(f"the held-out cases of campaign {campaign} (seed {seed}) cannot be drawn: {error}") from error
    # A prefix of its own, as written cases may come from the same families.
    lines = (msgspec.structs.replace(line, id=f"{HELDOUT_TAG}-{line.id}", tags=(HELDOUT_TAG,)) for line in drawn)
    # Generated cases bring their tools, and read no file.
    cases = tuple(complete(line, manifest, directory=Path(), tools={}, place=line.id) for line in lines)
    return msgspec.structs.replace(
        suite,
        cases=tuple(sorted((*suite.cases, *cases), key=lambda case: case.id)),
        heldout=HeldoutDraw(
            campaign=campaign,
            seed=seed,
            generator=GENERATOR_VERSION,
            per_family=per_family,
            digest=draw_digest(case.digest for case in cases),
        ),
    )
