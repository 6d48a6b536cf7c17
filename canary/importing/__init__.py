"""Suites out of the data of other tools."""

from canary.importing.catalogue import FORMATS, import_suite
from canary.importing.imported import ImportOptions

__all__ = ["FORMATS", "ImportOptions", "import_suite"]
