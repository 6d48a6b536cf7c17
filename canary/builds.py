"""Have the gateway make a build, and wait for it."""

import time
from collections.abc import Callable

from canary.client import GatewayClient
from canary.errors import CanaryError, GatewayRefused, UsageError
from gateway.contracts.builds import BuildRequest, BuildState, BuildView
from gateway.contracts.error_codes import ErrorCode

_POLL_S = 0.5
_USAGE_CODES = frozenset(
    {ErrorCode.INVALID_VALUE, ErrorCode.MODEL_UNREADABLE, ErrorCode.VARIANT_NOT_FOUND, ErrorCode.VARIANT_ARCHIVED}
)


def build(gateway: GatewayClient, request: BuildRequest, note: Callable[[str], None]) -> BuildView:
    """Have a build made and wait for it, telling each tenth.

    Raises UsageError with the reason where it fails, or makes no sense.
    """
    try:
        view = gateway.start_build(request)
    except GatewayRefused as error:
        if error.code in _USAGE_CODES:
            raise UsageError(str(error)) from error
        raise
    told = -1
    try:
        while view.state is BuildState.RUNNING:
            tenth = int(view.progress * 10)
            if tenth > told:
                note(f"{view.id}: {view.progress:.0%} {view.message}")
                told = tenth
            time.sleep(_POLL_S)
            view = gateway.build(view.id)
    except BaseException:
        _cancel(gateway, view)
        raise
    if view.state is not BuildState.DONE:
        raise UsageError(f"{view.id} was not built: {view.message}")
    return view


def _cancel(gateway: GatewayClient, view: BuildView) -> None:
    """End a build that nobody waits for any more; a failure here must not hide why."""
    try:
        gateway.cancel_build(view.id)
    except CanaryError:
        return
