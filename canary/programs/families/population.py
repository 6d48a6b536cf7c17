"""Worlds of one case: typed records, with values at and around the boundaries, ties, nulls and empty lists."""

import datetime
from typing import Any

from canary.programs.families.draw import Draw
from canary.programs.families.words import CITIES, FIRST_NAMES, LAST_NAMES, TEXTS
from canary.programs.tools import argument_key
from canary.programs.worlds import ANY, World

_PEOPLE_COUNT = 6
_TEAMS_COUNT = 3
_LENGTHS = (3, 2, 4, 0, 5, 1, 3, 4)
"""Of the list of records, by the world's number."""
_MAX_CHILDREN = 4
_TIE_EVERY, _TIE_AT = 4, 1
"""In one world of four the records that the prompt names have equal amounts and counts."""
_ODD_EVERY, _ODD_AT = 4, 2
_ODD_ONES = ((0, True), (-1, False), (2, True), (0, False), (-1, True), (2, False))
"""In one world of four a single record of the list decides: its place, and on which side of the boundary it lies."""
_STEP = 0.5
"""Amounts are multiples of it: sums of them are exact, in whatever order they are taken."""


class Population:
    """Draws one world after another."""

    def __init__(self, draw: Draw, *, min_length: int, min_children: int, orphans: bool, two_bounds: bool) -> None:
        self._draw = draw
        self._random = draw.random
        self._min_length = min_length
        self._min_children = min_children
        self._orphans = orphans
        bounds = [draw.bound, draw.bound2] if two_bounds else [draw.bound]
        self._around = [float(bound + step) for bound in bounds for step in (_STEP, 0, -_STEP)]

    def world(self, number: int, offered: tuple[str, ...]) -> World:
        """Return what the offered tools return in the world of this number."""
        names = self._draw.tool_names
        people = [f"p{index}" for index in self._random.sample(range(10, 99), _PEOPLE_COUNT)]
        teams = [f"t{index}" for index in self._random.sample(range(10, 99), _TEAMS_COUNT)]
        records = self._named_records(people, number)
        lists = {scope: self._list(people, number) for scope in self._draw.scopes if "list" in offered}
        records |= {record["id"]: record for records_of in lists.values() for record in records_of}
        returns: dict[str, dict[str, Any]] = {
            "get": {argument_key({self._draw.key: key}): value for key, value in records.items()},
            "list": {key: page for scope, each in lists.items() for key, page in self._pages(scope, each)},
            "person": {argument_key({"person_id": key}): value for key, value in self._people(people, teams).items()},
            "team": {argument_key({"team_id": key}): self._team(people) for key in teams},
            "task": {ANY: {"task_id": f"task-{self._random.randint(100, 999)}"}},
        }
        return {names[name]: returns[name] for name in offered if name in returns}

    def _named_records(self, people: list[str], number: int) -> dict[str, dict[str, Any]]:
        """Return the records that the prompt may name: from world to world they go through the boundaries."""
        draw = self._draw
        records = {identifier: self._record(identifier, people) for identifier in draw.ids}
        for place, record in enumerate(records.values()):
            turn = number + place * (number // 2 + 1)
            if number % 5:
                record[draw.numbers[0]] = self._around[turn % len(self._around)]
            record[draw.counts[0]] = max(0, draw.count_bound + (0, -1, 1, 2, -2)[turn % 5])
            if number % _TIE_EVERY == _TIE_AT + 2:  # a tie between two fields
                record[draw.numbers[1]] = record[draw.numbers[0]]
        if number % _TIE_EVERY == _TIE_AT:
            first, second = (records[identifier] for identifier in draw.ids)
            second |= {name: first[name] for name in (*draw.numbers, *draw.counts)}
        return records

    def _list(self, people: list[str], number: int) -> list[dict[str, Any]]:
        """Return records whose first amount, in every other world, lies on a boundary or one step beside it."""
        length = max(self._min_length, _LENGTHS[number % len(_LENGTHS)])
        initial = self._draw.domain.noun[0].upper()
        identifiers = [f"{initial}{index}" for index in self._random.sample(range(1000, 10_000), length)]
        records = [self._record(identifier, people) for identifier in identifiers]
        if number % 2:
            for record in records:
                record[self._draw.numbers[0]] = self._random.choice(self._around)
        if number % _ODD_EVERY == _ODD_AT:
            self._make_one_odd(records, *_ODD_ONES[number // _ODD_EVERY % len(_ODD_ONES)])
        return records

    def _make_one_odd(self, records: list[dict[str, Any]], place: int, above: bool) -> None:
        """Put one record on one side of the boundary, with its flag and state, and all others on the other side."""
        draw = self._draw
        odd = records[min(place, len(records) - 1)]
        for record in records:
            side = above == (record is odd)
            record[draw.numbers[0]] = draw.bound + (_STEP if side else -_STEP)
            record[draw.counts[0]] = max(0, draw.count_bound + (1 if side else -1))
            record[draw.flags[0]] = side
            record[draw.domain.state] = draw.states[0 if side else 1]

    def _pages(self, scope: str, records: list[dict[str, Any]]) -> list[tuple[str, Any]]:
        """Return the keys and returns of one list: whole, or in pages of up to two."""
        plural, argument = self._draw.domain.plural, self._draw.domain.scope
        if not self._draw.paged:
            return [(argument_key({argument: scope}), {plural: records})]
        pages = [records[start : start + 2] for start in range(0, len(records), 2)] or [[]]
        return [
            (
                argument_key({argument: scope, "page": page}),
                {plural: content, "next_page": page + 1 if page < len(pages) else None},
            )
            for page, content in enumerate(pages, start=1)
        ]

    def _record(self, identifier: str, people: list[str]) -> dict[str, Any]:
        draw, choose = self._draw, self._random.choice
        numbers = self._amounts(len(draw.numbers))
        owner, backup = self._random.sample(people if self._orphans else people[:3], 2)
        return {
            "id": identifier,
            **dict(zip(draw.numbers, numbers, strict=True)),
            **{name: max(0, draw.count_bound + choose((-2, -1, 0, 0, 1, 3))) for name in draw.counts},
            draw.domain.state: choose((*draw.states, draw.states[0], draw.states[1])),
            **{name: choose((True, False)) for name in draw.flags},
            draw.domain.note: choose((None, *self._random.sample(TEXTS, 2))),
            **{name: self._day() for name in draw.days},
            draw.domain.party: self._party(),
            draw.owner: owner,
            draw.backup: backup,
            draw.domain.children: [
                self._child(place) for place in range(self._random.randint(self._min_children, _MAX_CHILDREN))
            ],
        }

    def _child(self, place: int) -> dict[str, Any]:
        draw, choose = self._draw, self._random.choice
        return {
            draw.domain.label: f"{choose(TEXTS)}-{place}{self._random.randint(10, 99)}",
            **{name: _STEP * self._random.randint(10, 200) for name in draw.child_numbers},
            draw.child_count: self._random.randint(1, 6),
            draw.domain.child_state: choose(draw.child_states),
            **{name: choose((True, False)) for name in draw.child_flags},
        }

    def _amounts(self, count: int) -> list[float]:
        """Return different amounts, many of them on a boundary or one step beside it."""
        high = float(self._draw.bound2)
        apart = [self._draw.bound / 2, 2 * high, high + 100, high + _STEP * self._random.randint(4, 40)]
        return self._random.sample([*self._around, *apart], count)

    def _day(self) -> str:
        days = self._random.choice((-1, 0, 1, self._random.randint(-40, -2), self._random.randint(2, 40)))
        return (self._draw.day_bound + datetime.timedelta(days=days)).isoformat()

    def _party(self) -> dict[str, Any]:
        first, last = self._random.choice(FIRST_NAMES), self._random.choice(LAST_NAMES)
        phone = f"+47{self._random.randint(10_000_000, 99_999_999)}"
        return {
            "name": f"{first} {last}",
            "email": f"{first}.{last}{self._random.randint(1, 99)}@{self._random.choice(TEXTS)}.example".lower(),
            "phone": self._random.choice((None, phone)),
            "address": {
                "city": self._random.choice(CITIES),
                "postcode": str(self._random.randint(1000, 9999)),
            },
        }

    def _people(self, people: list[str], teams: list[str]) -> dict[str, dict[str, Any]]:
        """Return the staff: each has a manager further down the list, the last has none, and the chain ends there."""
        staff: dict[str, dict[str, Any]] = {}
        for place, identifier in enumerate(people):
            later = people[place + 1 :]
            name = f"{self._random.choice(FIRST_NAMES)} {self._random.choice(LAST_NAMES)}"
            none = not later or (self._orphans and self._random.random() < 0.4)  # noqa: PLR2004
            staff[identifier] = {
                "name": name,
                "email": f"{name.replace(' ', '.')}.{identifier}@staff.example".lower(),
                "level": self._random.randint(1, 4),
                "on_leave": self._random.choice((True, False)),
                "manager_id": None if none else self._random.choice(later),
                "team_id": self._random.choice(teams),
            }
        return staff

    def _team(self, people: list[str]) -> dict[str, Any]:
        return {
            "name": self._random.choice(TEXTS).capitalize(),
            "channel": f"#{self._random.choice(TEXTS)}-{self._random.randint(1, 99)}",
            "size": max(1, self._draw.count_bound + self._random.choice((-2, -1, 0, 1, 2))),
            "lead_id": self._random.choice(people),
        }
