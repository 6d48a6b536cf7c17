"""Graders: each judges the text of one completion against what a case expects."""

from canary.grading.catalogue import (
    GRADERS,
    Expectation,
    grader_versions,
    identity_of,
    make_ready,
    parts_of,
    stubs_of,
)
from canary.grading.setting import Grader, Setting

__all__ = [
    "GRADERS",
    "Expectation",
    "Grader",
    "Setting",
    "grader_versions",
    "identity_of",
    "make_ready",
    "parts_of",
    "stubs_of",
]
