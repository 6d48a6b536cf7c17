"""One Evaluation as a page: a file of its own to attach to a decision, or the part that the console shows.

Python makes all that is visible; scripts only draw the pictures of it and search in the cases.
"""

from pathlib import Path

from canary.report.html.page import body, document

ASSETS = Path(__file__).parent.parent / "assets"
"""For a page that embeds `body`: `report.css`, `charts.js` with its libraries in `vendor/`, and `cases.js`."""

__all__ = ["ASSETS", "body", "document"]
