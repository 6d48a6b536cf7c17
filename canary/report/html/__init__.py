"""One Evaluation as a page: a file of its own to attach to a decision, or the part that the console shows.

Python makes all that is visible; scripts only draw the pictures of it and search in the cases.
"""

from canary.report.html.page import ASSETS, body, document

__all__ = ["ASSETS", "body", "document"]
