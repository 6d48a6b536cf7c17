"""Whose prompt the next chunk is for.

Urgent prompts go before the others, which have one chunk in eight while urgent ones keep coming. Among equals every
other chunk is for whoever came first, so that nobody waits for ever, and the ones between are for whoever has least
left to compute, so that a short prompt does not wait behind a long one. Prompts that are finished by one chunk share
it. A prompt that mostly begins like one that is being computed waits for that one, and takes its KV.
"""

from collections.abc import Mapping, Sequence

import msgspec
from mlx import nn

from gateway.engine.prefill import PrefillRow
from gateway.engine.prefix_cache import PrefixCache
from gateway.engine.prefix_tree import common_length
from gateway.engine.runner import RowSpec

_RECTANGLE_RATIO = 16
"""Prompts that share a chunk are padded to the longest: to this times the chunk's budget at most."""


_OTHERS_TURN = 8
"""So many chunks while urgent and other prompts wait: the last of them is the others'."""


class _Place(msgspec.Struct):
    spec: RowSpec
    row: PrefillRow | None = None
    """Once something of it is computed."""


class PrefillLine:
    def __init__(self, model: nn.Module, prefixes: PrefixCache | None) -> None:
        self._model = model
        self._prefixes = prefixes
        self._places: dict[int, _Place] = {}
        """By row, first come first."""
        self._first_in_turn = False
        self._others_waited = 0
        """Chunks in a row that went to urgent prompts while others could have had them."""

    def __len__(self) -> int:
        return len(self._places)

    @property
    def started_count(self) -> int:
        return sum(place.row is not None for place in self._places.values())

    def add(self, spec: RowSpec) -> None:
        self._places[spec.row] = _Place(spec)

    def leave(self, row: int) -> PrefillRow | None:
        """Take a row out of the line and return what was computed of it; None where nothing was."""
        place = self._places.pop(row, None)
        return place.row if place else None

    def alike_count(self, length: int) -> int:
        """Return how many prompts in line are at most twice as long as that."""
        return sum(len(place.spec.prompt) <= 2 * length for place in self._places.values())

    def next_rows(self, budget_tokens: int, *, free_rows: int) -> list[PrefillRow]:
        """Return the rows that a chunk of that budget is for; several, where it finishes them all.

        `free_rows` is how many may be started that are not.
        """
        places = self._preferred(self._startable(free_rows))
        if not places:
            return []
        self._first_in_turn = not self._first_in_turn
        left = {place.spec.row: self._left_tokens(place) for place in places}
        lead = places[0] if self._first_in_turn else self._shortest(places, left)
        group = [lead]
        for place in places if left[lead.spec.row] <= budget_tokens else ():
            if place is not lead and _fits(place, group, left, budget_tokens) and not self._waits(place, group, left):
                group.append(place)
        return [self._start(place) for place in group]

    def _startable(self, free_rows: int) -> list[_Place]:
        places: list[_Place] = []
        for place in sorted(self._places.values(), key=lambda place: not place.spec.urgent):
            if place.row is None:
                if free_rows <= 0:
                    continue
                free_rows -= 1
            places.append(place)
        return places

    def _preferred(self, places: Sequence[_Place]) -> Sequence[_Place]:
        urgent = [place for place in places if place.spec.urgent]
        others = [place for place in places if not place.spec.urgent]
        self._others_waited = (self._others_waited + 1) % _OTHERS_TURN if urgent and others else 0
        if urgent and others:
            return urgent if self._others_waited else others
        return urgent or others

    def _left_tokens(self, place: _Place) -> int:
        """Return what is to be computed of the prompt but for its last token, which is decoding's first."""
        if place.row is not None:
            return place.row.left_tokens
        known = self._prefixes.known_tokens(place.spec.prompt) if self._prefixes and place.spec.prefix_cache else 0
        return len(place.spec.prompt) - 1 - known

    def _shortest(self, places: Sequence[_Place], left: Mapping[int, int]) -> _Place:
        started = [place for place in places if place.row is not None]
        free = [place for place in places if not self._waits(place, started, left)]
        return min(free, key=lambda place: left[place.spec.row])

    def _waits(self, place: _Place, others: Sequence[_Place], left: Mapping[int, int]) -> bool:
        """Say whether the others are about to compute more than half of what this one lacks."""
        if self._prefixes is None or place.row is not None or not place.spec.prefix_cache:
            return False
        lacking = left[place.spec.row]
        known = len(place.spec.prompt) - 1 - lacking
        shared = (common_length(place.spec.prompt, other.spec.prompt) for other in others if other.spec.prefix_cache)
        return max(shared, default=0) - known > lacking / 2

    def _start(self, place: _Place) -> PrefillRow:
        if place.row is None:
            cache, length = [], 0
            if self._prefixes is not None and place.spec.prefix_cache:
                cache, length = self._prefixes.fetch(place.spec.prompt)
            place.row = PrefillRow(self._model, place.spec, cache, length)
        return place.row


def _fits(place: _Place, group: Sequence[_Place], left: Mapping[int, int], budget_tokens: int) -> bool:
    """Say whether one more prompt can be finished by the same chunk."""
    members = [*group, place]
    chunk = len(members) * max(left[member.spec.row] for member in members)
    rectangle = len(members) * max(len(member.spec.prompt) for member in members)
    return chunk <= budget_tokens and rectangle <= _RECTANGLE_RATIO * budget_tokens
