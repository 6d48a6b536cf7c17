"""Every failure that canary tells somebody about, and the exit status that each ends in.

    CanaryError             one readable sentence with the remedy
    +-- UsageError          2: the command, a suite or a model's name is wrong
    |   +-- SuiteError      names the file, and the line where there is one
    +-- GatewayUnavailable  12: nothing answers, or the key is refused
    +-- GatewayRefused      12: the gateway answered, and said no; carries its error code and the HTTP status
    +-- RecordDiffers       12: a record's trials do not give the judgement that it holds
    +-- PromotionFailed     13: the incumbent did not change

A failed trial is not here: it is data (`TrialError`), and so is a verdict.
"""

import enum
from typing import ClassVar

from gateway.contracts.evaluations import Outcome


class ExitCode(enum.IntEnum):
    """A crash is 1, so that it never reads as a verdict."""

    PASSED = 0
    CRASHED = 1
    USAGE = 2
    FAILED = 10
    INCONCLUSIVE = 11
    ERRORED = 12
    NOT_PROMOTED = 13
    INTERRUPTED = 130

    @classmethod
    def of(cls, outcome: Outcome) -> "ExitCode":
        return cls[outcome.name]


class CanaryError(Exception):
    exit_code: ClassVar[ExitCode]


class UsageError(CanaryError):
    exit_code = ExitCode.USAGE


class SuiteError(UsageError):
    pass


class GatewayUnavailable(CanaryError):
    exit_code = ExitCode.ERRORED


class GatewayRefused(CanaryError):
    exit_code = ExitCode.ERRORED

    def __init__(self, message: str, *, code: str, status: int) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class RecordDiffers(CanaryError):
    exit_code = ExitCode.ERRORED


class PromotionFailed(CanaryError):
    exit_code = ExitCode.NOT_PROMOTED
