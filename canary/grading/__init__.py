"""Graders: each judges the text of one completion against what a case expects."""

from canary.grading.catalogue import GRADERS, Expectation, grader_versions

__all__ = ["GRADERS", "Expectation", "grader_versions"]
