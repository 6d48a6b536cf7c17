"""Suites: reading, checking, showing and comparing them."""

from canary.suite.case import Case, CaseLine
from canary.suite.case_file import CASES_FILE, read_cases
from canary.suite.heldout import with_heldout
from canary.suite.manifest import MANIFEST_FILE, read_manifest
from canary.suite.search import default_search_path, find_suite
from canary.suite.suite import Suite, load_suite, suite_digest

__all__ = [
    "CASES_FILE",
    "MANIFEST_FILE",
    "Case",
    "CaseLine",
    "Suite",
    "default_search_path",
    "find_suite",
    "load_suite",
    "read_cases",
    "read_manifest",
    "suite_digest",
    "with_heldout",
]
