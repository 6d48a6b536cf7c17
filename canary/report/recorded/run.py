"""Read `recorded/run.toml` of a suite. Every figure that a document may leave out is optional here."""

import datetime
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import msgspec

from canary.errors import SuiteError
from gateway.contracts.evaluations import Criterion, Metric, Rule

RECORDED_FILE = Path("recorded", "run.toml")

_GIB = 1024**3


class Count(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`right` of `of` queries."""

    right: Annotated[int, msgspec.Meta(ge=0)]
    of: Annotated[int, msgspec.Meta(ge=1)]

    @property
    def ratio(self) -> float:
        return self.right / self.of


class Validation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    accuracy: Count | None = None
    field_access: Count | None = None
    categories: dict[str, Count] = {}


class Speed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A benchmark of its own, on queries of its own."""

    accuracy: Count | None = None
    generation_time_s: Decimal | None = None
    """Mean."""
    load_time_s: Decimal | None = None
    memory_gib: Decimal | None = None
    disk_gib: Decimal | None = None


class RecordedSystem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    model: str
    """What was quantised: two builds of one model are alternatives."""
    directory: str | None = None
    validation: Validation = Validation()
    speed: Speed = Speed()

    def observed(self, metric: Metric) -> Decimal | None:
        """Return the figure that a criterion on the metric is applied to, in the metric's unit."""
        figures = {
            Metric.ACCURACY: _ratio(self.validation.accuracy),
            Metric.FIELD_ACCESS: _ratio(self.validation.field_access),
            Metric.GENERATION_TIME_S: self.speed.generation_time_s,
            Metric.LOAD_TIME_S: self.speed.load_time_s,
            Metric.MEMORY_BYTES: _in_bytes(self.speed.memory_gib),
            Metric.DISK_BYTES: _in_bytes(self.speed.disk_gib),
        }
        return figures.get(metric)


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    title: str
    date: datetime.date


class MemoryWarning(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """mlx-lm's warning, as the document quotes it."""

    system: str
    required_mib: Annotated[int, msgspec.Meta(ge=1)]


class Claims(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the document concludes from its figures, where these can be held against it."""

    size_reduction_percent: int | None = None
    """Of the chosen build against the other build of the same model."""
    size_unit: str | None = None
    memory_warning: MemoryWarning | None = None


class RecordedRun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    source: Source
    baseline: str
    """Name of the system that served before."""
    categories: dict[str, str]
    """Key and title, in the document's order."""
    criteria: tuple[Criterion, ...]
    systems: Annotated[tuple[RecordedSystem, ...], msgspec.Meta(min_length=1)]
    claims: Claims = Claims()

    def system(self, name: str) -> RecordedSystem:
        """Return the system of a name that the file was checked to have."""
        return next(system for system in self.systems if system.name == name)


def load_recorded(directory: Path) -> RecordedRun:
    """Read the recorded figures of the suite in a directory. Raises SuiteError, which names the file and the key."""
    path = directory / RECORDED_FILE
    try:
        run = msgspec.toml.decode(path.read_bytes().decode(), type=RecordedRun)
    except UnicodeDecodeError as error:
        raise SuiteError(f"{path} is not UTF-8: {error.reason} at byte {error.start}") from error
    except OSError as error:
        raise SuiteError(f"{path}: {error.strerror or error}: this suite has no recorded figures") from error
    except msgspec.DecodeError as error:
        raise SuiteError(f"{path}: {error}") from error
    complaint = next(_complaints(run), None)
    if complaint:
        raise SuiteError(f"{path}: {complaint}")
    return run


def _complaints(run: RecordedRun) -> Iterator[str]:
    names = [system.name for system in run.systems]
    if len(set(names)) < len(names):
        yield "`systems`: two have one name"
    if run.baseline not in names:
        yield f"`baseline` is {run.baseline!r}, which is no system's name"
    warning = run.claims.memory_warning
    if warning is not None and warning.system not in names:
        yield f"`claims.memory_warning.system` is {warning.system!r}, which is no system's name"
    for criterion in run.criteria:
        if criterion.rule is Rule.NO_WORSE_THAN or criterion.category is not None:
            yield f"`criteria`: {criterion.name!r} needs the trials, which are not recorded: give a floor or a ceiling"
    for system in run.systems:
        yield from (f"{key} of {system.name!r}: {complaint}" for key, complaint in _system_complaints(run, system))


def _system_complaints(run: RecordedRun, system: RecordedSystem) -> Iterator[tuple[str, str]]:
    for key, count in _counts(system):
        if count.right > count.of:
            yield f"`{key}`", f"{count.right} of {count.of} cannot be right"
    for category in system.validation.categories:
        if category not in run.categories:
            yield f"`validation.categories.{category}`", "`categories` lacks it"
    speed = system.speed
    for key in ("generation_time_s", "load_time_s", "memory_gib", "disk_gib"):
        figure: Decimal | None = getattr(speed, key)
        if figure is not None and not (figure.is_finite() and figure > 0):
            yield f"`speed.{key}`", f"{figure} is no time or size"


def _counts(system: RecordedSystem) -> Iterator[tuple[str, Count]]:
    named = {
        "validation.accuracy": system.validation.accuracy,
        "validation.field_access": system.validation.field_access,
        "speed.accuracy": system.speed.accuracy,
        **{f"validation.categories.{key}": count for key, count in system.validation.categories.items()},
    }
    yield from ((key, count) for key, count in named.items() if count is not None)


def _ratio(count: Count | None) -> Decimal | None:
    return None if count is None else Decimal(count.right) / count.of


def _in_bytes(size_gib: Decimal | None) -> Decimal | None:
    return None if size_gib is None else size_gib * _GIB
