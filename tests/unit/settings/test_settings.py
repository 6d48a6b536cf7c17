"""Layers of settings, and what a wrong one is told."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.contracts.scheduling import SchedulingClass
from gateway.errors import StartError
from gateway.settings import EvaluationSettings, LoadedSettings, default_state_dir, describe, is_loopback, load_settings

HOME = {"HOME": "/home/someone"}
CRITERION = '{name = "accuracy", metric = "accuracy", rule = "at_least", bound = 0.9}'


def load(
    tmp_path: Path,
    toml: str = "",
    *,
    environ: dict[str, str] | None = None,
    flags: dict[str, object] | None = None,
) -> LoadedSettings:
    config = tmp_path / "gateway.toml"
    config.write_text(toml)
    return load_settings(config, environ=HOME | (environ or {}), flags=flags or {})


def refusal(tmp_path: Path, toml: str = "", *, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(StartError) as raised:
        load(tmp_path, toml, environ=environ)
    message = str(raised.value)
    assert "\n" not in message
    return message


def test_defaults_need_no_file_and_say_so() -> None:
    loaded = load_settings(None, environ=HOME, flags={})
    assert loaded.settings.server.host == "127.0.0.1"
    assert loaded.settings.deployments == ()
    assert set(loaded.origins.values()) == {"default"}


@given(
    toml=st.none() | st.integers(1, 65535),
    variable=st.none() | st.integers(1, 65535),
    flag=st.none() | st.integers(1, 65535),
)
def test_a_higher_layer_wins_and_is_named(
    tmp_path_factory: pytest.TempPathFactory, toml: int | None, variable: int | None, flag: int | None
) -> None:
    directory = tmp_path_factory.mktemp("layers")
    text = "" if toml is None else f"[server]\nport = {toml}\nmax_body_bytes = 10"
    environ = {} if variable is None else {"GATEWAY__SERVER__PORT": str(variable)}
    loaded = load(directory, text, flags={"--port": flag, "--host": None}, environ=environ)
    layers = [
        (flag, "flag --port"),
        (variable, "environment GATEWAY__SERVER__PORT"),
        (toml, str(directory / "gateway.toml")),
        (8080, "default"),
    ]
    expected = next((value, origin) for value, origin in layers if value is not None)
    assert (loaded.settings.server.port, loaded.origins["server.port"]) == expected
    assert loaded.settings.server.max_body_bytes == (10 if toml is not None else 4 * 1024**2)


def test_a_key_names_its_class_and_a_part_of_a_queue_leaves_the_rest_as_it_is(tmp_path: Path) -> None:
    key = "[[keys]]\nname = 'a'\nrole = 'chat'\nsecret_env = 'A'\nclass = 'batch'\n"
    loaded = load(tmp_path, key + "[queue.evaluation]\nmax_queued = 3\n")
    assert loaded.settings.keys[0].scheduling_class is SchedulingClass.BATCH
    assert loaded.origins["keys[0].class"] == str(tmp_path / "gateway.toml")
    assert loaded.settings.queue.evaluation == EvaluationSettings(max_queued=3)


def test_every_setting_is_described_once_with_its_origin(tmp_path: Path) -> None:
    toml = f'[[deployments]]\nsource = "./tutor"\ngate = {{criteria = [{CRITERION}]}}'
    rows = describe(load(tmp_path, toml, environ={"GATEWAY__ENGINE__MAX_ROWS": "3"}))
    paths = [path for path, _, _ in rows]
    assert len(set(paths)) == len(paths)
    assert ("engine.max_rows", "3", "environment GATEWAY__ENGINE__MAX_ROWS") in rows
    assert ("deployments[0].gate.criteria[0].bound", "0.9", str(tmp_path / "gateway.toml")) in rows
    assert ("deployments[0].gate.max_age_s", "86400.0", "default") in rows
    assert ("memory.recommended_working_set_bytes", "null", "default") in rows


def test_a_secret_is_not_described(tmp_path: Path) -> None:
    toml = '[[keys]]\nname = "ops"\nrole = "admin"\nsecret_env = "OPS_SECRET"'
    rows = describe(load(tmp_path, toml, environ={"OPS_SECRET": "tell-nobody"}))
    assert not [row for row in rows if "tell-nobody" in "".join(row)]


@pytest.mark.parametrize(
    ("toml", "path"),
    [
        ('[server]\nport = "80"', "server.port"),
        ("[server]\nport = 70000", "server.port"),
        ("[server]\nprot = 80", "server.prot"),
        ("[server]\nkeep_alive_interval_s = 0", "server.keep_alive_interval_s"),
        ('[server]\ncors_origins = ["chat.example.org"]', "server.cors_origins[0]"),
        ('[server]\ncors_origins = ["https://chat.example.org/"]', "server.cors_origins[0]"),
        ("[sever]\nport = 80", "sever"),
        ("server = 80", "server"),
        ("[queue.batch]\ntimeout_s = 0", "queue.batch.timeout_s"),
        ("[queue.batch]\ntimeout_s = inf", "queue.batch.timeout_s"),
        ("[queue.batch]\ntimeout_s = nan", "queue.batch.timeout_s"),
        ("[queue.interactive]\npatience_s = 1", "queue.interactive.patience_s"),
        ("[queue.evaluation]\nrows_ratio = 0", "queue.evaluation.rows_ratio"),
        ("[queue]\nmax_queued = 1", "queue.max_queued"),
        ("[log]\nlevel = 'loud'", "log.level"),
        ("[engine]\nrestart_backoff_initial_s = 60", "engine.restart_backoff_initial_s"),
        ("[memory]\nrecommended_working_set_bytes = 5", "memory.recommended_working_set_bytes"),
        ("[[deployments]]\nmodel = 'a'", "deployments[0]"),
        ('[[deployments]]\nsource = "./a"\nmodel = "a\\n"', "deployments[0].model"),
        ('[[keys]]\nname = "a\\u001b[2J"\nrole = "chat"\nsecret_env = "KEY"', "keys[0].name"),
        ('[[keys]]\nname = "a\\n"\nrole = "chat"\nsecret_env = "KEY"', "keys[0].name"),
        ("[[deployments]]\nsource = './a'\n[[deployments]]\nsource = './b'\nname = 'b'", "deployments[1].name"),
        ("[[deployments]]\nsource = './a'\n[[deployments]]\nsource = '/x/a'", "deployments"),
        ("[[deployments]]\nsource = './a'\nmodel = '@'", "deployments[0].model"),
        (f"[[deployments]]\nsource = 'a'\ngate.criteria = [{CRITERION}, {CRITERION}]", "deployments[0].gate.criteria"),
        (
            f"[[deployments]]\nsource = 'a'\ngate.criteria = [{CRITERION.replace('0.9', 'nan')}]",
            "deployments[0].gate.criteria",
        ),
        ("[[keys]]\nname = 'a'\nrole = 'owner'\nsecret_env = 'A'", "keys[0].role"),
        ("[[keys]]\nname = 'a'\nrole = 'chat'", "keys[0]"),
        ("[[keys]]\nname = 'a'\nrole = 'chat'\nsecret_env = 'A'\nclass = 'urgent'", "keys[0].class"),
        ("[[keys]]\nname = 'a'\nrole = 'chat'\nsecret_env = 'A'\nsecret_file = '/a'", "keys[0]"),
        ("[[keys]]\nname = 'a'\nrole = 'chat'\nsecret_env = 'A'\n" * 2, "keys"),
        ("keys = [1]", "keys[0]"),
    ],
)
def test_a_wrong_value_is_refused_with_its_path_and_origin(tmp_path: Path, toml: str, path: str) -> None:
    assert refusal(tmp_path, toml).startswith(f"setting {path} ({tmp_path / 'gateway.toml'}) ")


@pytest.mark.parametrize(
    ("name", "value", "path"),
    [
        ("GATEWAY__SERVER__PORT", "eighty", "server.port"),
        ("GATEWAY__SERVER__PROT", "80", "server.prot"),
        ("GATEWAY__SEVER__PORT", "80", "sever"),
        ("GATEWAY__SERVER__PORT__X", "80", "server.port"),
        ("GATEWAY__QUEUE__EVALUATION__TIMEOUT_S", "inf", "queue.evaluation.timeout_s"),
        ("GATEWAY__DEPLOYMENTS", "./a", "deployments"),
        ("GATEWAY__STATE_DIR", "", "state_dir"),
    ],
)
def test_a_wrong_variable_is_refused_by_name(tmp_path: Path, name: str, value: str, path: str) -> None:
    assert refusal(tmp_path, environ={name: value}).startswith(f"setting {path} (environment {name}) ")


def test_an_unknown_setting_is_told_its_neighbours(tmp_path: Path) -> None:
    assert "host, port" in refusal(tmp_path, "[server]\nprot = 1")


def test_a_variable_of_another_program_is_left_alone() -> None:
    load_settings(None, environ=HOME | {"GATEWAY_URL": "x", "GATEWAY_API_KEY": "y"}, flags={})


def test_a_missing_or_broken_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"nowhere\.toml does not exist: .*--config"):
        load_settings(tmp_path / "nowhere.toml", environ=HOME, flags={})
    with pytest.raises(StartError, match="cannot be read"):
        load_settings(tmp_path, environ=HOME, flags={})
    assert "line 1" in refusal(tmp_path, "[server\nport = 1")
    (tmp_path / "gateway.toml").write_bytes(b"a = '\xff'")
    with pytest.raises(StartError, match="not valid TOML"):
        load_settings(tmp_path / "gateway.toml", environ=HOME, flags={})


def test_loopback_is_known_in_all_its_forms() -> None:
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost"))
    assert not is_loopback("localhost.example.org")


def test_a_deployment_is_named_after_its_source(tmp_path: Path) -> None:
    toml = "".join(
        f"[[deployments]]\nsource = '{source}'\n"
        for source in ("/m/tutor-5bit/", "org/Some.Model", "mine@0123456789ab")
    )
    names = [deployment.model for deployment in load(tmp_path, toml).settings.deployments]
    assert names == ["tutor-5bit", "Some.Model", "mine"]


def test_the_model_flag_serves_that_source_alone(tmp_path: Path) -> None:
    toml = "[[deployments]]\nsource = './a'\n[[deployments]]\nsource = './b'\nmodel = 'tutor'\ngate.tag = 'demo'"
    other = load(tmp_path, toml, flags={"--model": "/models/c"})
    assert [(it.model, it.source) for it in other.settings.deployments] == [("c", "/models/c")]
    assert other.origins["deployments[0].source"] == "flag --model"
    named = load(tmp_path, "[[deployments]]\nsource = 'mine'\nmodel = 'tutor'", flags={"--model": "mine"})
    assert [deployment.model for deployment in named.settings.deployments] == ["tutor"]
    configured = load(tmp_path, toml, flags={"--model": str(Path("b").absolute())})
    (deployment,) = configured.settings.deployments
    assert (deployment.model, deployment.gate.tag) == ("tutor", "demo")
    assert configured.origins["deployments[0].model"] == str(tmp_path / "gateway.toml")


def test_the_state_directory_is_the_platforms_and_absolute(tmp_path: Path) -> None:
    assert default_state_dir(HOME, "darwin") == Path("/home/someone/Library/Application Support/gateway")
    assert default_state_dir(HOME, "linux") == Path("/home/someone/.local/state/gateway")
    assert default_state_dir(HOME | {"XDG_STATE_HOME": "/var/x"}, "linux") == Path("/var/x/gateway")
    assert load(tmp_path, "state_dir = 'here'").settings.state_dir == str(Path.cwd() / "here")
