"""What one check has found, and what to do about it."""

import enum

import msgspec

from gateway.errors import StartError


class Health(enum.StrEnum):
    OK = "ok"
    WARNING = "warning"
    """It works, and not as well as it could, or not for long."""
    FAILURE = "failure"
    """The gateway does not start so, or serves wrongly."""
    NOT_CHECKED = "not checked"
    """There is nothing to look at, or no way to."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    check: str
    health: Health
    detail: str
    """What was seen."""
    remedy: str = ""
    """What to do, in one line; of a warning or a failure never empty."""


def ok(check: str, detail: str) -> Finding:
    return Finding(check=check, health=Health.OK, detail=detail)


def warning(check: str, detail: str, remedy: str) -> Finding:
    return Finding(check=check, health=Health.WARNING, detail=detail, remedy=remedy)


def failure(check: str, detail: str, remedy: str) -> Finding:
    return Finding(check=check, health=Health.FAILURE, detail=detail, remedy=remedy)


def not_checked(check: str, detail: str, remedy: str = "") -> Finding:
    return Finding(check=check, health=Health.NOT_CHECKED, detail=detail, remedy=remedy)


def refusal(check: str, error: StartError) -> Finding:
    """Return what would keep the gateway from starting; such an error ends with what to do, after a colon."""
    what, _, remedy = error.message.rpartition(": ")
    return failure(check, what or error.message, remedy)
