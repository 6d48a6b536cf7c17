"""API keys: where secrets come from, and what a header proves."""

from pathlib import Path

import pytest

from gateway.contracts.keys import KeyRole
from gateway.contracts.scheduling import SchedulingClass
from gateway.errors import StartError
from gateway.keys import KeyRing, check_reach, load_keys
from gateway.settings import KeySettings, ServerSettings, Settings

CHAT = KeySettings(name="app", role=KeyRole.CHAT, secret_env="APP_SECRET")  # noqa: S106 - the variable's name
ENVIRON = {"APP_SECRET": "s3cret"}


def test_the_right_secret_proves_the_key() -> None:
    ring = load_keys([CHAT], environ=ENVIRON)
    key = ring.authenticate("Bearer s3cret")
    assert key is not None
    assert (key.name, key.role) == ("app", KeyRole.CHAT)
    assert ring.authenticate("bearer  s3cret ") == key


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Bearer s3cre", "Bearer s3cret2", "Basic s3cret", "s3cret", "Bearer é"]
)
def test_anything_else_proves_nothing(header: str | None) -> None:
    assert load_keys([CHAT], environ=ENVIRON).authenticate(header) is None


def test_each_of_several_keys_is_found(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from a file\n")
    admin = KeySettings(name="ops", role=KeyRole.ADMIN, secret_file=str(tmp_path / "secret"))
    ring = load_keys([CHAT, admin], environ=ENVIRON)
    found = [ring.authenticate(f"Bearer {secret}") for secret in ("s3cret", "from a file")]
    assert [key.name for key in found if key is not None] == ["app", "ops"]


def test_a_key_has_the_class_that_its_settings_give_it_and_is_interactive_by_itself() -> None:
    batch = KeySettings(name="jobs", role=KeyRole.CHAT, secret_env="JOBS", scheduling_class=SchedulingClass.BATCH)  # noqa: S106 - the variable's name
    ring = load_keys([CHAT, batch], environ={**ENVIRON, "JOBS": "j0bs"})
    classes = [key.scheduling_class for secret in ("s3cret", "j0bs") if (key := ring.authenticate(f"Bearer {secret}"))]
    assert classes == [SchedulingClass.INTERACTIVE, SchedulingClass.BATCH]


def test_no_keys_is_open_and_knows_nobody() -> None:
    assert KeyRing().is_open
    assert KeyRing().authenticate("Bearer x") is None
    assert not load_keys([CHAT], environ=ENVIRON).is_open


@pytest.mark.parametrize("environ", [{}, {"APP_SECRET": ""}, {"APP_SECRET": "  "}])
def test_a_missing_or_empty_secret_stops_the_start(environ: dict[str, str]) -> None:
    with pytest.raises(StartError, match=r"key app: .*APP_SECRET is missing or empty"):
        load_keys([CHAT], environ=environ)


def test_an_unreadable_or_empty_file_stops_the_start(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    entry = KeySettings(name="ops", role=KeyRole.ADMIN, secret_file=str(file))
    with pytest.raises(StartError, match=r"key ops: .*cannot be read"):
        load_keys([entry], environ={})
    file.write_text("\n")
    with pytest.raises(StartError, match=r"key ops: .*missing or empty"):
        load_keys([entry], environ={})
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(StartError, match=r"key ops: .*cannot be read"):
        load_keys([entry], environ={})


@pytest.mark.parametrize("secret", ["geheim\u00fc", "two\nlines", "a\ttab"])
def test_a_secret_that_no_header_can_carry_stops_the_start(secret: str) -> None:
    with pytest.raises(StartError, match=r"key app: .*APP_SECRET holds what no header can carry") as raised:
        load_keys([CHAT], environ={"APP_SECRET": secret})
    assert secret not in raised.value.message


def test_two_keys_with_one_secret_stop_the_start() -> None:
    other = KeySettings(name="other", role=KeyRole.ADMIN, secret_env="APP_SECRET")  # noqa: S106 - as above
    with pytest.raises(StartError, match=r"keys app and other have the same secret") as raised:
        load_keys([CHAT, other], environ=ENVIRON)
    assert "s3cret" not in str(raised.value)


def test_the_secret_itself_is_not_kept() -> None:
    key = load_keys([CHAT], environ=ENVIRON).authenticate("Bearer s3cret")
    assert "s3cret" not in repr(key)


def test_each_role_may_do_what_the_one_before_it_may() -> None:
    allowed = {(role, needed) for role in KeyRole for needed in KeyRole if role.allows(needed)}
    assert allowed == {
        (KeyRole.CHAT, KeyRole.CHAT),
        (KeyRole.EVALUATION, KeyRole.CHAT),
        (KeyRole.EVALUATION, KeyRole.EVALUATION),
        (KeyRole.ADMIN, KeyRole.CHAT),
        (KeyRole.ADMIN, KeyRole.EVALUATION),
        (KeyRole.ADMIN, KeyRole.ADMIN),
    }


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org"])  # noqa: S104 - what is refused
def test_a_reachable_host_needs_a_key(host: str) -> None:
    settings = Settings(state_dir="/state", server=ServerSettings(host=host))
    with pytest.raises(StartError, match=r"server.host .*gateway keys create .*--state-dir /state.*\[\[keys\]\]"):
        check_reach(settings, KeyRing())
    check_reach(settings, load_keys([CHAT], environ=ENVIRON))


def test_any_web_page_needs_a_key() -> None:
    settings = Settings(state_dir="/state", server=ServerSettings(cors_origins=("*",)))
    with pytest.raises(StartError, match="cors_origins"):
        check_reach(settings, KeyRing())
    check_reach(settings, load_keys([CHAT], environ=ENVIRON))
    check_reach(Settings(state_dir="/state"), KeyRing())


def test_a_thousand_keys_are_looked_up_and_not_walked_through() -> None:
    """Counted in comparisons, not in time: one of a thousand is compared."""
    many = [KeySettings(name=f"k{number}", role=KeyRole.CHAT, secret_env=f"S{number}") for number in range(1000)]
    ring = load_keys(many, environ={f"S{number}": f"secret-{number}" for number in range(1000)})
    with pytest.MonkeyPatch.context() as patch:
        compared: list[bytes] = []
        patch.setattr("gateway.keys.hmac.compare_digest", lambda a, b: compared.append(a) or a == b)  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType] - a stand-in
        key = ring.authenticate("Bearer secret-777")
        assert ring.authenticate("Bearer secret-1000") is None
    assert key is not None
    assert key.name == "k777"
    assert len(compared) == 1
