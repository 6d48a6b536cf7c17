"""The classes that requests wait in. A class belongs to a key, not to the client's wish."""

import enum


class SchedulingClass(enum.StrEnum):
    """In the order in which they go first."""

    INTERACTIVE = "interactive"
    """Somebody waits for the answer."""
    BATCH = "batch"
    """Work that has time; it goes when nobody waits, or when its patience has ended."""
    EVALUATION = "evaluation"
    """Trials and scores: as batch, in a share of the rows, and held back while anybody waits on any engine."""


class RefusalReason(enum.StrEnum):
    """Why a request was not run."""

    QUEUE_FULL = "queue_full"
    DEADLINE = "deadline"
    """It waited as long as its class may."""
    MEMORY = "memory"
    """It can never fit."""
    BREAKER = "breaker"
    """Its engine failed again and again, and rests."""
    OFFLINE = "offline"
    """Its engine's memory is lent, and nobody is to wait for that."""
    QUARANTINE = "quarantine"
    """It had crashed the engine, alone."""
