"""The pictures of a report, as data that a script draws without knowing what it means."""

from typing import Literal

import msgspec

from canary.report.table import Table


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a forest."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    margin: float | None = None
    """What the interval must stay clear of; None where nothing is demanded."""
    outcome: str = ""
    """Of the criterion with that margin."""


class Forest(msgspec.Struct, frozen=True, kw_only=True):
    axis: str
    baseline: float
    """Where both systems are alike."""
    rows: tuple[Interval, ...]


class SystemLevel(msgspec.Struct, frozen=True, kw_only=True):
    row: str
    system: str
    value: float
    low: float | None
    high: float | None
    floor: float | None
    """That a required criterion sets for the row."""


class Levels(msgspec.Struct, frozen=True, kw_only=True):
    axis: str
    systems: tuple[str, ...]
    rows: tuple[SystemLevel, ...]


class TimedArm(msgspec.Struct, frozen=True, kw_only=True):
    system: str
    values: tuple[float, ...]


class Times(msgspec.Struct, frozen=True, kw_only=True):
    axis: str
    systems: tuple[str, ...]
    arms: tuple[TimedArm, ...]


class Point(msgspec.Struct, frozen=True, kw_only=True):
    system: str
    x: float
    y: float


class Lines(msgspec.Struct, frozen=True, kw_only=True):
    x_axis: str
    y_axis: str
    systems: tuple[str, ...]
    limit: float | None
    points: tuple[Point, ...]


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    kind: Literal["forest", "levels", "times", "lines"]
    """Which function of `charts.js` draws it."""
    title: str
    reading: str
    """How to read it."""
    data: Forest | Levels | Times | Lines
    table: Table | None = None
    """The same in figures; None where a table of the section has them."""
