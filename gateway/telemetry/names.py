"""Names that others give, as label values: so many of a kind, and one value for all further ones."""

OTHER = "other"
_LENGTH_LIMIT = 128
"""Characters. A longer name is not one that somebody reads on a dashboard."""


class BoundedNames:
    """The first names of a kind that came, up to a limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: set[str] = set()

    def admit(self, name: str) -> str:
        """Return the name's label value: itself from now on, where there is room for it."""
        if len(self._known) < self._limit and len(name) <= _LENGTH_LIMIT:
            self._known.add(name)
        return self.find(name)

    def find(self, name: str | None) -> str:
        """Return the label value of a name that a client may have made up: itself where it was admitted."""
        return name if name is not None and name in self._known else OTHER
