"""What a sweep orders, and what it says of the builds; that they are built is tested in tests/e2e."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx
import msgspec
import pytest

from canary import builds, cli
from canary.client import GatewayClient
from canary.errors import ExitCode, UsageError
from canary.judge import judge
from canary.report.contest import DEQUANTISED
from canary.sweep import float_sources, is_twice_quantised, pareto_table, read_widths, to_archive
from gateway.contracts.builds import BuildKind, BuildRequest, BuildState, BuildView, Provenance
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.evaluations import Evaluation, Role, System
from tests.support.evaluations import Result, make_evaluation, make_system
from tests.support.fake_gateway import FakeGateway, error_response
from tests.support.judged_runs import CRITERIA, judged
from tests.support.mini_suite import write_mini_suite

OF_WIDTH = {4: "small", 5: "bad", 8: "good"}
ALL_RIGHT = [1.0] * 20
ONE_WRONG = [0.0, *[1.0] * 19]
HALF = [0.0, 1.0] * 10


def made(name: str, *, state: BuildState = BuildState.DONE, **provenance: object) -> BuildView:
    fields = {"kind": BuildKind.FUSE, "digest": "0", "model": "/models/base", "model_digest": "1", **provenance}
    return BuildView(
        id=name,
        kind=BuildKind.FUSE,
        state=state,
        progress=1.0,
        message="a reason",
        path=f"/models/{name}",
        provenance=msgspec.convert(fields, Provenance),
    )


@pytest.fixture
def orders() -> list[BuildRequest]:
    return []


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, orders: list[BuildRequest]) -> FakeGateway:
    """Put a gateway behind every address that builds what `OF_WIDTH` says, each seen under way first."""
    fake = FakeGateway(
        {"incumbent": "4", "good": "4", "small": "4", "bad": "5", "float": "4"},
        predicted_bytes={"good": 900, "small": 500},
    )

    def order(request: BuildRequest) -> httpx.Response:
        orders.append(request)
        view = made(OF_WIDTH[request.bits or 8], reference="/models/float")
        fake.builds.append(view)
        running = msgspec.structs.replace(view, state=BuildState.RUNNING, progress=0.5, message="quantising")
        return httpx.Response(200, content=msgspec.json.encode(running))

    fake.build = order
    fake.builds = [made("float")]

    def connect(url: str, *, api_key: str | None = None) -> GatewayClient:
        return GatewayClient(url, api_key=api_key, transport=fake.transport)

    monkeypatch.setattr(cli, "GatewayClient", connect)
    monkeypatch.setattr(builds, "_POLL_S", 0.0)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg-state"))
    write_mini_suite(tmp_path / "suites")
    return fake


@pytest.mark.usefixtures("fake")
def test_each_width_is_ordered_judged_and_laid_beside_the_others(
    orders: list[BuildRequest], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["sweep", "incumbent", "--bits", "4,5,8"]) == ExitCode.PASSED
    assert [(order.kind, order.bits, order.adapter) for order in orders] == [
        (BuildKind.QUANTISE, bits, None) for bits in (4, 5, 8)
    ]
    said = capsys.readouterr()
    assert "small: 50% quantising" in said.err
    sweep = said.out[said.out.index("\nSweep\n") :]
    assert re.search(r"small \(candidate\) +100% \(12/12\).* passed ", sweep)
    assert re.search(r"bad \(candidate\) +0% \(0/12\).* failed ", sweep)
    assert re.search(r"Winner: small@\w+\. To have it serve:\n  canary promote small@\w+ --for tutor\n", sweep)
    archive = re.findall(r"canary archive (\w+)@", sweep)
    # `good` is larger than `small` and no better: whether it is faster, to the microsecond, is chance here.
    assert [name for name in archive if name != "good"] == ["bad", "float"]


@pytest.mark.usefixtures("fake")
def test_an_adapter_is_fused_into_each(orders: list[BuildRequest], tmp_path: Path) -> None:
    (tmp_path / "lora").mkdir()
    assert cli.run(["sweep", "incumbent", "--bits", "4", "--adapter", "./lora", "--group-size", "32"]) == 0
    (order,) = orders
    assert (order.kind, order.bits, order.group_size) == (BuildKind.FUSE, 4, 32)
    assert order.adapter == str(tmp_path / "lora")


def test_where_none_passes_there_is_no_winner(fake: FakeGateway, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["sweep", "incumbent", "--bits", "5"]) == ExitCode.FAILED
    assert "Winner: none.\n" in capsys.readouterr().out
    assert fake.promotions == []


def test_a_build_that_fails_is_2_with_its_reason(fake: FakeGateway, capsys: pytest.CaptureFixture[str]) -> None:
    failed = made("bad", state=BuildState.FAILED)
    fake.build = lambda _: httpx.Response(200, content=msgspec.json.encode(failed))
    assert cli.run(["sweep", "incumbent", "--bits", "5"]) == ExitCode.USAGE
    assert "bad was not built: a reason" in capsys.readouterr().err
    assert fake.recorded == []


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [(ErrorCode.INVALID_VALUE, ExitCode.USAGE), (ErrorCode.NOT_READY, ExitCode.ERRORED)],
)
def test_an_order_that_is_refused_is_quoted(
    fake: FakeGateway, capsys: pytest.CaptureFixture[str], code: ErrorCode, exit_code: ExitCode
) -> None:
    fake.build = lambda _: error_response(422, code, "no, because")
    assert cli.run(["sweep", "incumbent", "--bits", "5"]) == exit_code
    assert "no, because" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "what"), [("7", "'7' is no width"), ("4,", "'' is no width"), ("4,4", "twice")])
def test_widths_that_are_none_are_refused(text: str, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        read_widths(text)


def test_widths_are_read_in_their_order() -> None:
    assert read_widths("8, 4") == (8, 4)


# --- the front ---


def swept(results: Mapping[str, Sequence[Result]], memory: dict[str, int], *, dequantised: bool = False) -> Evaluation:
    """Return a judged run of systems of that memory; the first is the incumbent."""
    systems = [
        make_system(
            name,
            Role.CANDIDATE if position else Role.INCUMBENT,
            active_bytes=memory[name],
            predicted_bytes=memory[name],
            dequantised=dequantised,
        )
        for position, name in enumerate(results)
    ]
    return judged(results, systems=systems, criteria=CRITERIA)


def front(evaluation: Evaluation) -> dict[str, str]:
    table = pareto_table(evaluation, twice_quantised=False)
    return {row[0].partition(" ")[0]: row[-1] for row in table.rows}


def test_a_system_is_off_the_front_where_another_is_as_good_in_all_and_better_in_one() -> None:
    evaluation = swept(
        {"old": ALL_RIGHT, "four": ONE_WRONG, "five": ONE_WRONG, "six": ALL_RIGHT, "two": HALF},
        {"old": 16, "four": 4, "five": 5, "six": 6, "two": 2},
    )
    assert front(evaluation) == {
        "old": "no: six is better",
        "four": "yes",
        "five": "no: four is better",
        "six": "yes",
        "two": "yes",
    }
    builds = [made("four"), made("five"), made("six"), made("two")]
    names = [reference.partition("@")[0] for reference in to_archive(evaluation, builds)]
    # `two` is on the front, and has failed.
    assert names == ["five", "two"]
    assert to_archive(evaluation, []) == ()


def test_systems_that_are_equal_do_not_push_each_other_off() -> None:
    evaluation = swept({"old": ALL_RIGHT, "new": ALL_RIGHT}, {"old": 4, "new": 4})
    assert front(evaluation) == {"old": "yes", "new": "yes"}


def test_a_slower_one_that_is_no_better_is_off_the_front_unless_times_do_not_count() -> None:
    results = {"old": ALL_RIGHT, "new": ALL_RIGHT}
    timed = judged(results, times_s={"old": [1.0] * 20, "new": [2.0] * 20}, systems=_alike("old", "new"))
    assert front(timed) == {"old": "yes", "new": "no: old is better"}
    dequantised = judged(
        results, times_s={"old": [1.0] * 20, "new": [2.0] * 20}, systems=_alike("old", "new", dequantised=True)
    )
    assert front(dequantised) == {"old": "yes", "new": "yes"}
    table = pareto_table(dequantised, twice_quantised=False)
    assert {row[2] for row in table.rows} == {DEQUANTISED}
    assert any("Times do not count" in note for note in table.notes)


def _alike(*names: str, dequantised: bool = False) -> list[System]:
    return [
        make_system(name, Role.CANDIDATE if place else Role.INCUMBENT, dequantised=dequantised)
        for place, name in enumerate(names)
    ]


def test_times_of_trials_side_by_side_do_not_count() -> None:
    bare = make_evaluation(
        {"old": ALL_RIGHT, "new": ALL_RIGHT},
        times_s={"old": [1.0] * 20, "new": [2.0] * 20},
        systems=_alike("old", "new"),
        profile="full",
    )
    assert front(msgspec.structs.replace(bare, judgements=judge(bare))) == {"old": "yes", "new": "yes"}


@pytest.mark.parametrize(
    ("own", "source", "expected"), [(True, False, True), (False, True, True), (False, False, False)]
)
def test_a_base_that_was_quantised_is_found_in_a_build_or_in_its_source(
    *, own: bool, source: bool, expected: bool
) -> None:
    build = made("four", reference="/models/float", dequantised_base=own)
    known = [build, made("float", dequantised_base=source)]
    assert is_twice_quantised([build], known) is expected


def test_a_source_is_named_only_where_it_is_a_build_a_variant_and_not_what_serves(fake: FakeGateway) -> None:
    evaluation = swept({"incumbent": ALL_RIGHT, "small": ALL_RIGHT}, {"incumbent": 4, "small": 2})
    variants = list(fake.views.values())
    build = made("small", reference="/models/float")
    assert float_sources(evaluation, [build], [build, made("float")], variants) == (fake.views["float"].reference,)
    assert float_sources(evaluation, [build], [build], variants) == ()
    serves = made("small", reference="/models/incumbent")
    assert float_sources(evaluation, [serves], [serves, made("incumbent")], variants) == ()
