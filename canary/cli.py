"""The command line: judge candidates, promote the winner, roll back, and read what is recorded."""

import functools
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
import msgspec
import stamina.instrumentation
from rich.console import Console

from canary import report as rendering
from canary.archive import archive_variant
from canary.client import GatewayClient
from canary.criteria_flags import with_flags
from canary.errors import CanaryError, ExitCode, UsageError
from canary.history import render_history
from canary.progress import RunProgress
from canary.record_cli import judge_command
from canary.report import recorded
from canary.report.terminal import print_table
from canary.selftest_cli import selftest_command
from canary.stage import OFFLINE_WINDOW_S, SWAP_WINDOW_S
from canary.suite import Suite, default_search_path, find_suite, load_suite
from canary.suite_cli import suite as suite_commands
from canary.sweep import (
    GROUP_SIZES,
    build_widths,
    float_sources,
    is_twice_quantised,
    pareto_table,
    read_widths,
    to_archive,
)
from canary.trial_log import default_log_directory
from canary.workflow import (
    CandidateFate,
    Fate,
    RunOptions,
    evaluate,
    find_deployment,
    find_evaluation,
    line_up,
    line_up_pair,
    promote_by_override,
    promote_winner,
    roll_back,
    without_incumbent,
)
from gateway.contracts.builds import BuildView
from gateway.contracts.deployments import Deployment
from gateway.contracts.evaluations import Evaluation, Mode, Outcome, worst
from gateway.contracts.winner import choose_winner

DEFAULT_URL = "http://127.0.0.1:8080"
PLAIN_WIDTH = 140
"""Columns of a matrix that goes to a file or a pipe."""


_FORMATS = {
    "html": rendering.render_html,
    "json": rendering.render_json,
    "junit": rendering.render_junit,
    "md": rendering.render_markdown,
}

_gateway_option = click.option(
    "--gateway", "url", envvar="GATEWAY_URL", default=DEFAULT_URL, show_default=True, help="The gateway's address."
)
_model_option = click.option("--for", "model", metavar="MODEL", help="The public model; optional where there is one.")
_suite_option = click.option("--suite", help="A suite's name or path; by default the Deployment's, with its tag.")
_tag_option = click.option("--tag", help="Run only the cases with this tag.")
_cut_option = click.option(
    "--cut-streams",
    is_flag=True,
    help="Where both engines do not fit: cut what has not ended at the gateway's limit, instead of failing then.",
)
_require_option = click.option(
    "--require",
    "required",
    metavar="CRITERION",
    multiple=True,
    help="A further required criterion, as 'time_to_first_token_s.p95 <= 0.5 category=facts'. May be repeated.",
)
_advise_option = click.option(
    "--advise",
    "advisory",
    metavar="CRITERION",
    multiple=True,
    help="The same, measured and printed: it decides nothing.",
)
_mode_option = click.option(
    "--mode",
    type=click.Choice([mode.value for mode in Mode]),
    help="Load all beside each other; or in turn, while production waits (swap) or is sent away (offline). By default "
    "beside each other if they fit the memory, else swap.",
)
_window_option = click.option(
    "--window",
    "window_s",
    type=click.FloatRange(min=1),
    metavar="SECONDS",
    help=f"In turn: the longest that production waits for a block of trials ({SWAP_WINDOW_S:g}), or is sent away "
    f"({OFFLINE_WINDOW_S:g}).",
)
_fresh_option = click.option(
    "--fresh", is_flag=True, help="Use no trial of a run that was broken off, and none of an earlier evaluation."
)
_candidates_argument = click.argument("candidates", metavar="MODEL...", nargs=-1, required=True)


class JudgingFlags(msgspec.Struct, frozen=True, kw_only=True):
    """What the options say that all judging commands have."""

    suite: str | None
    tag: str | None
    required: tuple[str, ...]
    advisory: tuple[str, ...]
    mode: str | None
    window_s: float | None
    fresh: bool
    model: str | None
    url: str

    def suite_for(self, deployment: Deployment) -> Suite:
        """Return the suite that was asked for; where none was, the one that the Deployment's gate demands."""
        gate = deployment.gate
        tag = self.tag if self.tag is not None or self.suite is not None else gate.tag
        suite = load_suite(self.suite or gate.suite, search_path=default_search_path(os.environ), tag=tag)
        return with_flags(suite, self.required, self.advisory)

    def run_options(self) -> RunOptions:
        return RunOptions(
            mode=None if self.mode is None else Mode(self.mode),
            window_s=self.window_s,
            log_directory=default_log_directory(os.environ),
            fresh=self.fresh,
        )


def _judging_options(command: Callable[..., ExitCode]) -> Callable[..., ExitCode]:
    """Give a command the options of all judging commands, as one argument `flags`."""

    @functools.wraps(command)
    def gathered(**given: Any) -> ExitCode:
        flags = JudgingFlags(**{name: given.pop(name) for name in JudgingFlags.__struct_fields__})
        return command(flags=flags, **given)

    options = (
        _suite_option,
        _tag_option,
        _require_option,
        _advise_option,
        _mode_option,
        _window_option,
        _fresh_option,
        _model_option,
        _gateway_option,
    )
    for option in reversed(options):
        gathered = option(gathered)
    return gathered


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="gateway-canary")
@click.option("--debug", is_flag=True, help="Show the traceback of a crash.")
def cli(*, debug: bool) -> None:
    """Decide whether a candidate may replace the model that serves.

    A MODEL is a directory (./path or /path), a registered variant's name, or a Hugging Face repository id.
    The gateway's key, where it needs one, is read from GATEWAY_API_KEY.

    Exit status: 0 passed, 10 failed, 11 inconclusive, 12 errored or no gateway, 13 not promoted, 2 usage, 1 a crash.
    """
    del debug  # run() reads it, also where the arguments cannot be parsed


@cli.command("evaluate")
@_candidates_argument
@_judging_options
def evaluate_command(
    *,
    candidates: tuple[str, ...],
    flags: JudgingFlags,
) -> ExitCode:
    """Judge one or several candidates against the incumbent, and record it."""
    with _gateway(flags.url) as gateway, _progress() as progress:
        deployment = find_deployment(gateway, flags.model)
        chosen = flags.suite_for(deployment)
        lineup = line_up(gateway, deployment, candidates)
        with ExitStack() as engines:
            evaluation = evaluate(
                gateway, lineup, chosen, engines=engines, progress=progress, options=flags.run_options()
            )
    rendering.render_terminal(evaluation, _output())
    return _exit_code(evaluation)


@cli.command()
@_candidates_argument
@_judging_options
@click.option("--override", "reason", metavar="REASON", help="Promote without an evaluation; the reason is recorded.")
@_cut_option
def promote(
    *,
    candidates: tuple[str, ...],
    flags: JudgingFlags,
    reason: str | None,
    cut_streams: bool,
) -> ExitCode:
    """Judge candidates and promote the best one that passes."""
    if reason is not None and not reason.strip():
        raise UsageError("--override needs a reason: it is all that the audit log will say")
    if reason is not None and len(candidates) != 1:
        raise UsageError("--override takes exactly one model")
    with _gateway(flags.url) as gateway, _progress() as progress:
        deployment = find_deployment(gateway, flags.model)
        if reason is not None:
            lineup = without_incumbent(line_up(gateway, deployment, candidates), progress)
            promote_by_override(gateway, lineup, reason, cut_streams=cut_streams)
            click.echo(f"{lineup.candidates[0].reference}: {Fate.PROMOTED} by override")
            return ExitCode.PASSED
        # Before the candidates: a mistake in the suite's name must not cost the reading of a model.
        chosen = flags.suite_for(deployment)
        lineup = without_incumbent(line_up(gateway, deployment, candidates), progress)
        with ExitStack() as engines:
            evaluation = evaluate(
                gateway, lineup, chosen, engines=engines, progress=progress, options=flags.run_options()
            )
            rendering.render_terminal(evaluation, _output())
            fates = promote_winner(gateway, evaluation, cut_streams=cut_streams)
    _print_fates(fates)
    if any(fate.fate is Fate.PROMOTED for fate in fates):
        return ExitCode.PASSED
    verdict = _exit_code(evaluation)
    return ExitCode.NOT_PROMOTED if verdict is ExitCode.PASSED else verdict


@cli.command()
@click.argument("reference", metavar="A")
@click.argument("candidate", metavar="B")
@_judging_options
def compare(
    *,
    reference: str,
    candidate: str,
    flags: JudgingFlags,
) -> ExitCode:
    """Judge B as if A served, whichever of them does. It is recorded, and promotes nothing."""
    with _gateway(flags.url) as gateway, _progress() as progress:
        deployment = find_deployment(gateway, flags.model)
        chosen = flags.suite_for(deployment)
        lineup = line_up_pair(gateway, deployment, reference, candidate)
        with ExitStack() as engines:
            evaluation = evaluate(
                gateway, lineup, chosen, engines=engines, progress=progress, options=flags.run_options()
            )
    rendering.render_terminal(evaluation, _output())
    return _exit_code(evaluation)


@cli.command()
@click.argument("source", metavar="MODEL")
@click.option(
    "--adapter",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A LoRA adapter's directory, to be fused in float first.",
)
@click.option("--bits", "widths", metavar="4,5,6,8", default="4,5,6,8", show_default=True, help="The widths to build.")
@click.option("--group-size", type=click.Choice(GROUP_SIZES), default=64, show_default=True)
@_judging_options
def sweep(
    *,
    source: str,
    adapter: Path | None,
    widths: str,
    group_size: int,
    flags: JudgingFlags,
) -> ExitCode:
    """Build a model at several widths, judge all against the incumbent, and say which to keep."""
    bits = read_widths(widths)
    with _gateway(flags.url) as gateway, _progress() as progress:
        deployment = find_deployment(gateway, flags.model)
        chosen = flags.suite_for(deployment)
        builds = build_widths(gateway, source, bits, adapter=adapter, group_size=group_size, note=progress.note)
        lineup = without_incumbent(line_up(gateway, deployment, [build.path for build in builds]), progress)
        with ExitStack() as engines:
            evaluation = evaluate(
                gateway, lineup, chosen, engines=engines, progress=progress, options=flags.run_options()
            )
        _print_sweep(gateway, evaluation, builds)
    return _exit_code(evaluation)


@cli.command()
@_model_option
@_gateway_option
@_cut_option
def rollback(*, model: str | None, url: str, cut_streams: bool) -> ExitCode:
    """Make the previous incumbent serve again."""
    with _gateway(url) as gateway:
        deployment = find_deployment(gateway, model)
        click.echo(f"{deployment.model} is back on {roll_back(gateway, deployment, cut_streams=cut_streams)}")
    return ExitCode.PASSED


@cli.command()
@click.argument("variant", metavar="VARIANT")
@click.option("--yes", "confirmed", is_flag=True, help="Remove the files; without it they are listed.")
@_gateway_option
def archive(*, variant: str, confirmed: bool, url: str) -> ExitCode:
    """List the files of a variant that nothing needs any more; with --yes, remove them.

    Never an incumbent's, nor those that a rollback would go back to. The variant stays in history and reports.
    """
    with _gateway(url) as gateway:
        archive_variant(gateway, variant, confirmed=confirmed)
    return ExitCode.PASSED


@cli.command()
@_model_option
@_gateway_option
def history(*, model: str | None, url: str) -> ExitCode:
    """List the evaluations of a model and the changes of its incumbent."""
    with _gateway(url) as gateway:
        deployment = find_deployment(gateway, model)
        evaluations = [each for each in gateway.evaluations() if each.model == deployment.model]
        references = {view.digest: view.reference for view in gateway.variants()}
        render_history(gateway.promotions(deployment.model), evaluations, references, _output())
    return ExitCode.PASSED


@cli.command()
@click.argument("evaluation_id", metavar="ID", required=False)
@click.option("--recorded", "recorded_suite", metavar="SUITE", help="A suite's recorded figures, by name or path.")
@click.option("--format", "form", type=click.Choice(sorted(_FORMATS)), default="md", show_default=True)
@click.option("--out", type=click.Path(dir_okay=False, writable=True, path_type=Path), help="Write to this file.")
@_gateway_option
def report(*, evaluation_id: str | None, recorded_suite: str | None, form: str, out: Path | None, url: str) -> ExitCode:
    """Print a recorded evaluation, or the figures that a suite carries from before."""
    if recorded_suite is not None:
        if evaluation_id is not None or form != "md":
            raise UsageError("--recorded SUITE takes no ID, and prints with --format md")
        figures = recorded.load_recorded(find_suite(recorded_suite, default_search_path(os.environ)))
        _write(recorded.render_markdown_recorded(figures), out)
        return ExitCode.PASSED
    if evaluation_id is None:
        raise UsageError("give the ID of an evaluation (`canary history` lists them), or --recorded SUITE")
    if form == "html" and out is None and sys.stdout.isatty():
        raise UsageError("a page is for a browser: add `--out report.html`")
    with _gateway(url) as gateway:
        evaluation = find_evaluation(gateway, evaluation_id)
    _write(_FORMATS[form](evaluation), out)
    return ExitCode.PASSED


cli.add_command(judge_command)
cli.add_command(selftest_command)
cli.add_command(suite_commands)


def main() -> None:
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status; whatever goes wrong is one line on standard error."""
    # Retries are part of a trial, and stamina would log each.
    stamina.instrumentation.set_on_retry_hooks([])
    try:
        return int(cli.main(list(arguments), prog_name="canary", standalone_mode=False) or 0)
    except CanaryError as error:
        return _complain(str(error), error.exit_code)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _complain("interrupted", ExitCode.INTERRUPTED)
    except Exception as error:
        if "--debug" in arguments:
            raise
        return _complain(
            f"a bug in canary, {type(error).__name__}: {error}; run it again as `canary --debug ...` to see where",
            ExitCode.CRASHED,
        )


def _complain(sentence: str, code: ExitCode) -> ExitCode:
    click.echo(f"canary: {sentence}", err=True)
    return code


def _gateway(url: str) -> GatewayClient:
    return GatewayClient(url, api_key=os.environ.get("GATEWAY_API_KEY"))


def _progress() -> RunProgress:
    return RunProgress(Console(stderr=True))


def _output() -> Console:
    return Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)


def _write(report: str, out: Path | None) -> None:
    if out is None:
        click.echo(report)
        return
    try:
        out.write_text(report + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--out {out}: {error.strerror}") from error


def _exit_code(evaluation: Evaluation) -> ExitCode:
    """Return 0 where at least one candidate passed, else the worst outcome's status."""
    outcomes = [judgement.verdict.outcome for judgement in evaluation.judgements]
    return ExitCode.of(Outcome.PASSED if Outcome.PASSED in outcomes else worst(outcomes))


def _print_sweep(gateway: GatewayClient, evaluation: Evaluation, builds: Sequence[BuildView]) -> None:
    """Print the report, what each width costs, and what to do next."""
    output, known = _output(), gateway.builds()
    rendering.render_terminal(evaluation, output)
    print_table(pareto_table(evaluation, twice_quantised=is_twice_quantised(builds, known)), output)
    click.echo()
    winner = choose_winner(evaluation)
    if winner is None:
        click.echo("Winner: none.")
    else:
        click.echo(f"Winner: {winner.variant.reference}. To have it serve:")
        click.echo(f"  canary promote {winner.variant.reference} --for {evaluation.model}")
    if unwanted := to_archive(evaluation, builds):
        click.echo("Failed, or another is better in everything. To free the disk:")
        for reference in unwanted:
            click.echo(f"  canary archive {reference}")
    if sources := float_sources(evaluation, builds, known, gateway.variants()):
        click.echo("In float, and needed only to measure fidelity and to build further widths:")
        for reference in sources:
            click.echo(f"  canary archive {reference}")


def _print_fates(fates: Sequence[CandidateFate]) -> None:
    click.echo()
    for fate in fates:
        if fate.fate is not Fate.REFUSED:
            click.echo(f"{fate.reference}: {fate.fate}")
            continue
        click.echo(f"{fate.reference}: {fate.fate}:")
        for reason in fate.reasons:
            click.echo(f"  - {reason}")
