"""Judge a run: from trials to levels, comparisons, criteria and one verdict a candidate.

Pure: no file, no clock, no log. The gateway imports this package, and nothing else of canary, to recompute the verdict
that it enforces.
"""

from canary.judge.evidence import InconsistentRecord
from canary.judge.fidelity import judge_fidelity, rejected
from canary.judge.judgement import Watch, judge, same_judgement
from canary.judge.latency import ONCE_Z, first_look, latency_doubts, latency_figure, look_z
from canary.judge.memory import memory_figure
from canary.judge.order import case_order
from canary.judge.satisfiable import complaint_about, size_complaint_about, timing_complaint_about
from canary.judge.standing import Standing, standings
from canary.judge.timing import times_settled
from canary.judge.verdict import FIDELITY

__all__ = [
    "FIDELITY",
    "ONCE_Z",
    "InconsistentRecord",
    "Standing",
    "Watch",
    "case_order",
    "complaint_about",
    "first_look",
    "judge",
    "judge_fidelity",
    "latency_doubts",
    "latency_figure",
    "look_z",
    "memory_figure",
    "rejected",
    "same_judgement",
    "size_complaint_about",
    "standings",
    "times_settled",
    "timing_complaint_about",
]
