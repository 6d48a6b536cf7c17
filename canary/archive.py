"""`canary archive VARIANT`: free the disk of a variant that nothing needs any more."""

import click

from canary.client import GatewayClient
from canary.errors import GatewayRefused, UsageError
from canary.report.quantities import gib
from gateway.contracts.admin import ArchiveView
from gateway.contracts.error_codes import ErrorCode

_REFUSALS = frozenset({ErrorCode.VARIANT_IN_USE, ErrorCode.VARIANT_NOT_FOUND})


def archive_variant(gateway: GatewayClient, reference: str, *, confirmed: bool) -> None:
    """Remove the variant's files where that is confirmed, and print what goes. Raises UsageError where it may not."""
    try:
        view = gateway.archive(reference, dry_run=not confirmed)
    except GatewayRefused as error:
        if error.code in _REFUSALS:
            raise UsageError(str(error)) from error
        raise
    _print(view)


def _print(view: ArchiveView) -> None:
    name = view.variant.reference
    for path in view.directories:
        click.echo(f"{path}/")
    for path in view.files:
        click.echo(path)
    for sentence in view.kept:
        click.echo(f"kept: {sentence}")
    if view.dry_run:
        click.echo(f"{name} would be archived, and {gib(view.freed_bytes)} be free. Do it with --yes.")
    else:
        click.echo(f"{name} is archived, and {gib(view.freed_bytes)} are free.")
