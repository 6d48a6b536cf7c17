"""The graders that a case may name. A later one is a file beside these and a line here.

Each is a Struct that holds what the case expects and has

    kind          the `kind` of a case's grader
    version       raised by every change after which some completion might get another grade
    grade()       the text of a completion -> Grade, or Ungraded where it declines to judge
    describe()    the expectation in words, for a reader of the record
"""

from canary.grading.exact import Exact
from canary.grading.numeric import Numeric
from canary.grading.regex import Regex
from canary.grading.text import Text

Expectation = Exact | Regex | Numeric | Text

GRADERS = (Exact, Regex, Numeric, Text)


def grader_versions() -> dict[str, int]:
    """Return the version of each grader by its kind."""
    return {grader.kind: grader.version for grader in GRADERS}
