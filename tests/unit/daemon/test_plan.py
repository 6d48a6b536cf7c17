"""What a service would run: the same as the command that installed it, or a refusal that says what to write where."""

from pathlib import Path

import pytest

from gateway.daemon.plan import make_plan
from gateway.daemon.service_manager import ManagerName, Plan
from gateway.errors import StartError
from gateway.settings import load_settings

KEY = '[[keys]]\nname = "one"\nrole = "admin"\n'


def plan_of(
    tmp_path: Path, toml: str = "", *, environ: dict[str, str] | None = None, log: Path | None = None, **flags: object
) -> Plan:
    config = tmp_path / "gateway.toml"
    config.write_text(toml)
    flags = {"state_dir": str(tmp_path / "state"), "log_file": None, **flags}
    named = {f"--{name.replace('_', '-')}": value for name, value in flags.items()}
    loaded = load_settings(config, environ={"HOME": str(tmp_path), **(environ or {})}, flags=named)
    return make_plan(loaded, ManagerName.SYSTEMD, config=config, flags=flags, default_log_file=log)


def test_every_path_is_absolute_and_every_flag_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plan = plan_of(tmp_path, port=9000, model="./my-model")
    assert Path(plan.command[0]).is_absolute()
    assert plan.command[1:5] == ("service", "run", "--manager", "systemd")
    arguments = " ".join(plan.command[5:])
    assert f"--config {tmp_path / 'gateway.toml'}" in arguments
    assert f"--model {tmp_path / 'my-model'}" in arguments
    assert "--port 9000" in arguments
    assert plan.working_dir == tmp_path


def test_the_state_directory_is_named_even_where_it_is_the_default(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, state_dir=None, environ={"XDG_STATE_HOME": str(tmp_path / "xdg")})
    assert plan.command[-2:] == ("--state-dir", str(tmp_path / "xdg" / "gateway"))


def test_the_gateway_logs_to_a_file_where_the_manager_keeps_none(tmp_path: Path) -> None:
    assert plan_of(tmp_path, log=tmp_path / "a.log").command[-2:] == ("--log-file", str(tmp_path / "a.log"))
    said = f'[log]\nfile = "{tmp_path}/b.log"\n'
    assert plan_of(tmp_path, said, log=tmp_path / "a.log").command[-1] == str(tmp_path / "b.log")


def test_it_is_stopped_no_sooner_than_its_drain_has_ended(tmp_path: Path) -> None:
    assert plan_of(tmp_path, "[server]\ndrain_timeout_s = 300.0\n").stop_timeout_s > 310


def test_a_setting_of_the_shells_environment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"server\.port comes from environment GATEWAY__SERVER__PORT"):
        plan_of(tmp_path, environ={"GATEWAY__SERVER__PORT": "9000"})


def test_a_secret_of_the_shells_environment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"environment variable MY_KEY.*secret_file"):
        plan_of(tmp_path, f'{KEY}secret_env = "MY_KEY"\n', environ={"MY_KEY": "x"})


def test_a_secret_is_named_by_its_file_which_is_nobody_elses(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("very-secret-words")
    secret.chmod(0o644)
    with pytest.raises(StartError, match="chmod 600"):
        plan_of(tmp_path, f'{KEY}secret_file = "{secret}"\n')
    secret.chmod(0o600)
    assert "very-secret-words" not in str(plan_of(tmp_path, f'{KEY}secret_file = "{secret}"\n'))


def test_what_would_not_start_is_refused_before_it_is_installed(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="no API key is configured"):
        plan_of(tmp_path, host="0.0.0.0")  # noqa: S104 - what is refused
