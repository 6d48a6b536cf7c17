"""The arithmetic of the benchmarks: a wrong ratio would be believed."""

import json
import math
from pathlib import Path

import pytest

from tests.bench import measures, report, roofline
from tests.bench.environment import Environment
from tests.bench.models import ModelKind
from tests.bench.prompts import closed_loop, conversations
from tests.bench.results import Results, Roofline, ScenarioResult, summarise
from tests.bench.scenarios import Run, Scenario, Target
from tests.bench.workload import Message, Trace, Turn, grown
from tests.unit.models.conftest import write_safetensors


def _trace(*times_s: float, started_s: float = 0.0, **overrides: object) -> Trace:
    trace = Trace(
        client=0,
        turn=0,
        background=False,
        started_s=started_s,
        delta_times_s=list(times_s),
        completion_tokens=len(times_s),
        ended_s=times_s[-1] if times_s else started_s,
        status=200,
    )
    for name, value in overrides.items():
        setattr(trace, name, value)
    return trace


def test_throughput_counts_whole_answers_over_the_whole_time() -> None:
    traces = [_trace(1.0, 2.0), _trace(3.0, 4.0, started_s=2.0), _trace(9.0, error="EOFError")]
    figures = measures.throughput(traces)
    assert figures["output_tokens_per_s"] == 1.0
    assert figures["ttft_p50_s"] == 1.0
    assert figures["errors"] == 1


def test_a_gap_is_within_one_answer() -> None:
    assert measures.gaps_s([_trace(1.0, 2.0, 4.0), _trace(10.0)]) == [1.0, 2.0]


def test_a_gap_that_began_before_counts_where_it_ends() -> None:
    assert measures.gaps_within(_trace(1.0, 4.0, 5.0, 9.0), 3.0, 6.0) == [3.0, 1.0]


def test_evenness_is_the_slowest_gaps_over_the_usual_one() -> None:
    figures = measures.evenness([_trace(*map(float, range(50)), 53.0)])
    assert figures["itl_p50_s"] == 1.0
    assert 1.0 < figures["itl_p99_over_p50"] < 4.0


def test_a_burst_is_refused_lost_or_answered() -> None:
    refused = _trace(status=429, error="status_429", retry_after=True, ended_s=0.5)
    mute = _trace(status=503, error="status_503", ended_s=0.7)
    reset = _trace(status=0, error="ConnectionResetError")
    figures = measures.burst([_trace(1.0), refused, mute, reset], [_trace(2.0, started_s=1.9)])
    assert (figures["answered"], figures["refused"], figures["lost"]) == (1, 2, 1)
    assert figures["refused_slowest_s"] == 0.7
    assert figures["refused_without_retry_after"] == 1
    assert figures["after_errors"] == 0


def test_nothing_answered_is_no_figure_and_no_crash() -> None:
    assert math.isnan(measures.throughput([_trace(error="TimeoutError")])["ttft_p50_s"])


def test_a_conversation_goes_on_after_its_answer() -> None:
    first = Turn(messages=(Message("user", "a"),), max_tokens=1)
    second = Turn(messages=(Message("user", "c"),), max_tokens=1, fresh=False)
    messages = grown(grown((), "", first), "b", second)
    assert [message.content for message in messages] == ["a", "b", "c"]
    assert grown(messages, "d", first) == first.messages


def test_a_workload_is_the_same_for_one_draw_and_another_for_another() -> None:
    def loop(draw: str) -> object:
        return closed_loop(streams=2, requests=5, prompt_tokens=9, max_tokens=(1, 2), draw=draw)

    assert loop("a") == loop("a")
    assert loop("a") != loop("b")


def test_conversations_share_the_system_prompt_and_nothing_else() -> None:
    workload = conversations(clients=2, turns=2, system_tokens=30, turn_tokens=9, max_tokens=1, draw="a")
    one, other = (client.turns for client in workload.clients)
    assert one[0].messages[0] == other[0].messages[0]
    assert one[0].messages[1] != other[0].messages[1]
    assert [turn.fresh for turn in one] == [True, False]


async def _unmeasured(_: Run) -> measures.Figures:
    return {}


def _scenario(*targets: Target) -> Scenario:
    return Scenario(
        name="x", title="t", model=ModelKind.TINY, contenders=("bare", "gateway"), measure=_unmeasured, targets=targets
    )


@pytest.mark.parametrize(("limit", "reached"), [(0.9, True), (0.97, False)])
def test_a_target_is_judged_by_the_ratio_of_medians(limit: float, reached: bool) -> None:
    target = Target(figure="speed", bound="at_least", value=limit, against="bare")
    runs = {"gateway": [{"speed": 95.0}, {"speed": 10.0}, {"speed": 96.0}], "bare": [{"speed": 100.0}] * 3}
    result = summarise(_scenario(target), "tiny", runs, {})
    assert result.targets[0].value == pytest.approx(0.95)
    assert result.targets[0].reached is reached
    assert result.figures["gateway"]["speed"].min == 10.0


def test_a_run_that_lacks_a_figure_leaves_the_others_theirs() -> None:
    runs = {"gateway": [{"errors": 1.0}, {"speed": 2.0, "errors": 0.0}, {"speed": 4.0, "errors": 0.0}]}
    figures = summarise(_scenario(), "tiny", runs, {}).figures["gateway"]
    assert (figures["speed"].median, figures["errors"].max) == (3.0, 1.0)


def test_a_target_without_figures_is_neither_reached_nor_missed() -> None:
    target = Target(figure="speed", bound="at_most", value=1, against="bare")
    result = summarise(_scenario(target), "tiny", {"gateway": [{"speed": 1.0}], "bare": []}, {"bare": "none"})
    assert result.targets[0].reached is None


@pytest.mark.parametrize(
    ("config", "sizes", "expected"),
    [
        ({"vocab_size": 10}, {"model.embed_tokens.weight": 100, "model.layers.0.q": 30}, 130),
        ({"vocab_size": 10}, {"model.embed_tokens.weight": 100, "lm_head.weight": 100}, 110),
        (
            {"vocab_size": 10, "num_experts": 8, "num_experts_per_tok": 2},
            {"model.layers.0.mlp.switch_mlp.up_proj.weight": 80, "model.layers.0.mlp.gate.weight": 5},
            25,
        ),
    ],
)
def test_a_token_reads_the_weights_that_take_part_in_it(
    tmp_path: Path, config: dict[str, int], sizes: dict[str, int], expected: int
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    write_safetensors(tmp_path / "model.safetensors", *sizes.values())
    content = (tmp_path / "model.safetensors").read_bytes()
    header_bytes = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + header_bytes])
    named = {name: header[f"t{number}"] for number, name in enumerate(sizes)}
    encoded = json.dumps(named).encode()
    body = content[8 + header_bytes :]
    (tmp_path / "model.safetensors").write_bytes(len(encoded).to_bytes(8, "little") + encoded + body)
    assert roofline.bytes_per_token(tmp_path) == expected
    assert roofline.ceiling_tokens_per_s(2_000_000_000, 400.0) == 200.0


def _results(found: ScenarioResult, line: Roofline | None) -> Results:
    environment = Environment(
        commit="abc",
        chip="Some Chip",
        cores=2,
        memory_bytes=2 * 1024**3,
        system="Linux x86_64",
        python="3.11",
        blas="one",
        packages={"mlx": "0.32"},
        load_before=0.0,
    )
    return Results(
        environment=environment, quick=False, repeats=5, real_model="smol", scenarios=(found,), roofline=line
    )


def test_the_report_shows_spread_ratio_verdict_and_who_is_missing() -> None:
    target = Target(figure="speed", bound="at_least", value=0.95, against="bare")
    runs = {"gateway": [{"speed": 90.0}], "bare": [{"speed": 100.0}]}
    found = summarise(_scenario(target), "tiny", runs, {"vllm-mlx": "it does not install"})
    text = report.markdown(_results(found, None))
    assert "| speed | 90 (90 to 90) | 100 (100 to 100) |" in text
    assert "speed over bare's at least 0.95: 0.9, **missed**" in text
    assert "vllm-mlx did not take part: it does not install" in text


def test_the_report_sets_the_measured_speed_beside_the_roofline() -> None:
    found = summarise(_scenario(), "tiny", {}, {})
    line = Roofline(
        bytes_per_token=2_000_000_000, bandwidth_gb_s=400.0, ceiling_tokens_per_s=200.0, measured_tokens_per_s=150.0
    )
    text = report.markdown(_results(found, line))
    assert (
        "2,000.0 MB of weights a token over 400 GB/s allow 200.0 tokens a second; one stream gets 150.0 (75%)" in text
    )
