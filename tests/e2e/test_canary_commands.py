"""`canary` against `gateway serve`: verdicts, promotions, records, and an exit status for each."""

import json
import re
import subprocess
from collections.abc import Generator
from pathlib import Path

import openai
import psutil
import pytest
from openai.types.chat import ChatCompletionMessageParam

from canary.errors import ExitCode
from tests.support.judged_home import write_judged_home
from tests.support.mini_suite import write_mini_suite
from tests.support.programs import PATIENCE_S, RunningGateway, gateway_serving, run

MODELS = {
    "incumbent": """
        default_text = "4"
        weights_bytes = 4_000_000
        [[answers]]
        match = "slowly"
        text = "This answer takes its time."
        step_delay_s = 0.05
    """,
    "good": 'default_text = "It is 4."\nweights_bytes = 3_000_000',
    "small": 'default_text = "4 it is."\nweights_bytes = 2_000_000',
    "wrong": 'default_text = "5"',
    "huge": 'default_text = "4"\nweights_bytes = 21_474_836_481',
    "unloadable": 'load_failure = "the weights are cursed"',
    "crashing": 'default_text = "4"\nfaults = [{match = "What is 0 ", kind = "exit"}]',
}


def prepare(home: Path, *, settings: str = "") -> Path:
    """Write the models, the suites and the configuration that every gateway here has."""
    write_judged_home(home, MODELS, settings=settings)
    write_mini_suite(home / "suites", name="other")
    write_mini_suite(home / "suites", name="short", count=3)
    twice = write_mini_suite(home / "suites", name="twice") / "cases.jsonl"
    twice.write_text(2 * twice.read_text())
    return home


@pytest.fixture(scope="module")
def judging(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningGateway]:
    """A gateway whose incumbent no test changes."""
    home = prepare(tmp_path_factory.mktemp("judging"))
    # The budget must let `huge` in, so that a criterion and not the gateway says no.
    environ = {
        "GATEWAY__MEMORY__RECOMMENDED_WORKING_SET_BYTES": str(2**36),
        "GATEWAY__ENGINE__RESTART_BACKOFF_INITIAL_S": "0.1",
    }
    with gateway_serving(home, "--config", "gateway.toml", environ=environ) as gateway:
        yield gateway


@pytest.fixture
def promoting(tmp_path: Path) -> Generator[RunningGateway]:
    with gateway_serving(prepare(tmp_path), "--config", "gateway.toml") as gateway:
        yield gateway


def canary(gateway: RunningGateway, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run("canary", *arguments, cwd=gateway.home, environ={"GATEWAY_URL": gateway.url})


def answered_by(client: openai.OpenAI, text: str = "Hello") -> str:
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": text}]
    response = client.chat.completions.with_raw_response.create(model="tutor", messages=messages)
    return response.headers["x-gateway-variant"].partition("@")[0]


def connect(gateway: RunningGateway) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="unused", max_retries=0, timeout=PATIENCE_S)


# --- evaluate ---


def test_candidates_of_one_run_are_judged_in_one_matrix_and_one_that_passes_is_0(judging: RunningGateway) -> None:
    ended = canary(judging, "evaluate", "./good", "./wrong", "./incumbent")
    assert ended.returncode == ExitCode.PASSED, ended.stderr
    assert "Decision matrix" in ended.stdout
    verdicts = ended.stdout.partition("Verdicts")[2]
    assert re.search(r"good\s+passed", verdicts)
    assert re.search(r"wrong\s+failed\s+accuracy, accuracy_vs_incumbent", verdicts)
    assert "Winner: good@" in ended.stdout
    assert "What is 0 + 4?" in ended.stdout
    assert [engine["variants"] for engine in judging.get("/admin/engines").json()] == [[incumbent(judging)]]


def incumbent(gateway: RunningGateway) -> str:
    (deployment,) = gateway.get("/admin/deployments").json()
    return str(gateway.get(f"/admin/variants/{deployment['incumbent']}").json()["reference"])


def test_a_run_in_which_none_passes_ends_with_the_worst_verdict(judging: RunningGateway) -> None:
    ended = canary(judging, "evaluate", "./wrong", "./huge", "./crashing")
    assert ended.returncode == ExitCode.FAILED, ended.stderr
    verdicts = ended.stdout.partition("Verdicts")[2]
    assert re.search(r"wrong\s+failed\s+accuracy, accuracy_vs_incumbent", verdicts)
    assert re.search(r"huge\s+failed\s+memory", verdicts)
    assert re.search(r"crashing\s+failed\s+accuracy_vs_incumbent", verdicts)
    assert "Winner: none" in ended.stdout


def test_a_run_of_too_few_cases_is_inconclusive(judging: RunningGateway) -> None:
    ended = canary(judging, "evaluate", "./good", "--suite", "short")
    assert ended.returncode == ExitCode.INCONCLUSIVE, ended.stderr
    assert re.search(r"good\s+inconclusive", ended.stdout)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["evaluate", "./unloadable"], ExitCode.ERRORED, "the weights are cursed"),
        (["evaluate", "./gone"], ExitCode.USAGE, "there is no model directory"),
        (["evaluate", "./good", "--suite", "twice"], ExitCode.USAGE, "cases.jsonl"),
        (["promote", "./incumbent"], ExitCode.NOT_PROMOTED, "is already the incumbent of tutor"),
        (["rollback"], ExitCode.NOT_PROMOTED, "no earlier incumbent"),
        (["report", "nothing"], ExitCode.USAGE, "canary history"),
    ],
)
def test_a_command_that_cannot_be_carried_out_says_why_in_its_last_line(
    judging: RunningGateway, arguments: list[str], status: ExitCode, said: str
) -> None:
    ended = canary(judging, *arguments)
    assert ended.returncode == status, ended.stderr
    assert said in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


def test_without_a_gateway_the_remedy_is_named(tmp_path: Path) -> None:
    ended = run("canary", "history", "--gateway", "http://127.0.0.1:9", cwd=tmp_path)
    assert ended.returncode == ExitCode.ERRORED
    assert "no gateway answers at http://127.0.0.1:9; start one with `gateway serve`" in ended.stderr


def test_a_key_decides_what_canary_may_do(tmp_path: Path) -> None:
    keys = "".join(
        f'[[keys]]\nname = "{role}"\nrole = "{role}"\nsecret_env = "SECRET_{role.upper()}"\n'
        for role in ("chat", "evaluation")
    )
    prepare(tmp_path, settings=keys)
    secrets = {"SECRET_CHAT": "c" * 32, "SECRET_EVALUATION": "e" * 32}
    with gateway_serving(tmp_path, "--config", "gateway.toml", "--host", "0.0.0.0", environ=secrets) as gateway:  # noqa: S104 - with keys it may be
        url = gateway.url.replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - as above
        statuses = [
            run("canary", "history", "--gateway", url, cwd=tmp_path, environ={"GATEWAY_API_KEY": key}).returncode
            for key in (secrets["SECRET_CHAT"], secrets["SECRET_EVALUATION"])
        ]
        assert gateway.stop() == 0
        assert not any(secret in gateway.log for secret in secrets.values())
    assert statuses == [ExitCode.ERRORED, ExitCode.PASSED]


def test_the_metrics_of_a_gateway_that_has_judged_pass_promtool(judging: RunningGateway, promtool: str) -> None:
    canary(judging, "evaluate", "./good")
    exposition = judging.get("/metrics").content
    checked = subprocess.run([promtool, "check", "metrics"], input=exposition, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
    for family in ("gateway_requests_total", "gateway_tokens_total", "gateway_incumbent_info", "canary_evaluations"):
        assert f"\n{family}" in exposition.decode()


# --- promote, and what follows it ---


def test_of_two_that_pass_the_smaller_serves_and_the_record_tells_all_of_it(promoting: RunningGateway) -> None:
    before = incumbent(promoting)
    ended = canary(promoting, "promote", "./good", "./small", "./wrong")
    assert ended.returncode == ExitCode.PASSED, ended.stderr
    fates = [line.partition("@")[0] + line.partition(":")[2] for line in ended.stdout.splitlines()[-5:-2]]
    assert fates == ["good passed, not promoted", "small promoted", "wrong refused:"]
    with connect(promoting) as client:
        assert answered_by(client) == "small"
        assert (
            client.chat.completions.create(model="tutor", messages=[{"role": "user", "content": "Hello"}])
            .choices[0]
            .message.content
            == "4 it is."
        )

    evaluation_id = re.search(r"Evaluation (\S+)", ended.stdout)
    assert evaluation_id is not None
    history = canary(promoting, "history").stdout
    assert evaluation_id[1] in history
    assert "promote" in history

    as_json = json.loads(canary(promoting, "report", evaluation_id[1], "--format", "json").stdout)
    assert [judgement["verdict"]["outcome"] for judgement in as_json["judgements"]] == ["passed", "passed", "failed"]
    assert len(as_json["trials"]) == 4 * 12
    as_markdown = canary(promoting, "report", evaluation_id[1], "--format", "md").stdout
    assert f"# Evaluation {evaluation_id[1]}" in as_markdown
    assert "| small " in as_markdown

    back = canary(promoting, "rollback")
    assert back.returncode == ExitCode.PASSED
    assert f"tutor is back on {before}" in back.stdout
    with connect(promoting) as client:
        assert answered_by(client) == "incumbent"


def test_a_candidate_that_fails_changes_nothing_and_its_reasons_are_printed(judging: RunningGateway) -> None:
    before = incumbent(judging)
    ended = canary(judging, "promote", "./wrong")
    assert ended.returncode == ExitCode.FAILED
    assert "refused:\n  - accuracy: 0.0 %" in ended.stdout
    assert incumbent(judging) == before


def test_an_evaluation_under_another_suite_is_recorded_and_promotes_nothing(judging: RunningGateway) -> None:
    before = incumbent(judging)
    ended = canary(judging, "promote", "./good", "--suite", "other")
    assert ended.returncode == ExitCode.NOT_PROMOTED, ended.stderr
    assert "the evaluation ran the suite other, and the gate asks for mini" in ended.stdout
    assert incumbent(judging) == before
    assert "other" in {each["suite"] for each in judging.get("/admin/evaluations").json()}


def test_a_promotion_under_a_stream_lets_it_end_where_it_began(promoting: RunningGateway) -> None:
    (engine,) = promoting.get("/admin/engines").json()
    with connect(promoting) as client:
        messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": "slowly"}]
        with client.chat.completions.with_streaming_response.create(
            model="tutor", messages=messages, stream=True
        ) as stream:
            lines = stream.iter_lines()
            events = [next(lines)]
            # The engine stands still, so that the promotion happens in mid-stream however fast the machine is.
            old = psutil.Process(engine["pid"])
            old.suspend()
            promoted = canary(promoting, "promote", "./good", "--override", "a test")
            assert promoted.returncode == ExitCode.PASSED, promoted.stderr
            assert answered_by(client) == "good"
            old.resume()
            events.extend(line for line in lines if line)
            assert stream.headers["x-gateway-variant"].startswith("incumbent@")
    data = [event.removeprefix("data: ") for event in events if event.startswith("data: ")]
    parts = [json.loads(event) for event in data[:-1]]
    text = "".join(part["choices"][0]["delta"].get("content") or "" for part in parts)
    assert text == "This answer takes its time."
    assert parts[-1]["choices"][0]["finish_reason"] == "stop"
    assert data[-1] == "[DONE]"


# --- the seed's figures ---


@pytest.mark.parametrize("suite", ["phase26", "suites/phase26"])
def test_the_seeds_figures_are_printed_by_name_and_by_path(suite: str) -> None:
    ended = run("canary", "report", "--recorded", suite, "--format", "md", cwd=Path(__file__).parents[2])
    assert ended.returncode == 0, ended.stderr
    for figure in ("24%", "88%", "92%", "2.47s", "5.76s", "2.53s", "19.55", "23.11", "15.4"):
        assert figure in ended.stdout
