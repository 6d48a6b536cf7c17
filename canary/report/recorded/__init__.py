"""A validation from before this tool, as the figures it published, and what does and does not follow from them."""

from canary.report.recorded.document import render_markdown_recorded
from canary.report.recorded.run import RecordedRun, load_recorded

__all__ = ["RecordedRun", "load_recorded", "render_markdown_recorded"]
