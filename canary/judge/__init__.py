"""Judge a run: from trials to levels, comparisons, criteria and one verdict a candidate.

Pure: no file, no clock, no log. The gateway imports this package, and nothing else of canary, to recompute the verdict
that it enforces.
"""

from canary.judge.evidence import InconsistentRecord
from canary.judge.judgement import judge, same_judgement, stopped
from canary.judge.order import case_order
from canary.judge.satisfiable import complaint_about, size_complaint_about

__all__ = [
    "InconsistentRecord",
    "case_order",
    "complaint_about",
    "judge",
    "same_judgement",
    "size_complaint_about",
    "stopped",
]
