"""Judge a run: from trials to levels, comparisons, criteria and one verdict a candidate.

Pure: no file, no clock, no log. The gateway imports this package, and nothing else of canary, to recompute the verdict
that it enforces.
"""

from canary.judge.evidence import InconsistentRecord
from canary.judge.judgement import judge, same_judgement

__all__ = ["InconsistentRecord", "judge", "same_judgement"]
