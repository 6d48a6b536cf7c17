"""The official clients against a real server, through the drivers of the campaign that tries all clients."""

import os
import shutil
import sys
from collections.abc import Generator
from pathlib import Path

import msgspec
import pytest

from gateway.settings import Settings
from tests.campaign.clients import environments, table
from tests.campaign.clients.catalogue import (
    ANTHROPIC_PYTHON,
    CLIENTS,
    OPENAI_NODE,
    OPENAI_PYTHON,
    OPENAI_PYTHON_RESPONSES,
    Check,
    Client,
    Result,
)
from tests.support.served import Served, serving
from tests.support.tiny_llama import write_model

CAMPAIGN = Path(environments.__file__).parent


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    scripted, constrained = (tmp_path_factory.mktemp("models") / name for name in ("scripted", "constrained"))
    scripted.mkdir()
    shutil.copy(CAMPAIGN / "script.toml", scripted / "scripted.toml")
    write_model(constrained)
    with serving(Settings(state_dir=str(tmp_path_factory.mktemp("state"))), [scripted, constrained]) as served:
        yield served


@pytest.mark.parametrize(
    "client", [OPENAI_PYTHON, OPENAI_PYTHON_RESPONSES, ANTHROPIC_PYTHON], ids=lambda client: client.name
)
def test_an_official_python_client_works(client: Client, served: Served) -> None:
    driver = str(environments.DRIVERS / client.driver)
    _assert_all_hold([sys.executable, driver, served.url, *client.arguments])


def test_the_official_node_client_works(served: Served, tmp_path: Path) -> None:
    try:
        command = environments.command(OPENAI_NODE, served.url, model=tmp_path)
    except environments.NotInstalledError as error:
        if os.environ.get("GATEWAY_REQUIRE_PROGRAMS") == "1":
            pytest.fail(str(error))
        pytest.skip(str(error))
    _assert_all_hold(command)


def test_the_readme_shows_the_campaigns_last_table() -> None:
    _, _, rows = table.TABLE.read_text().partition("\n\n| client")
    assert table.README.read_text() == table.in_readme(f"| client{rows}")


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_the_table_is_of_the_client_as_the_catalogue_has_it(client: Client) -> None:
    rows = [row.split(" | ") for row in table.TABLE.read_text().splitlines() if row.startswith(f"| {client.shown}")]
    assert client.version in [row[1] for row in rows]


def test_a_client_that_does_not_install_is_a_row_that_says_so_and_no_failure() -> None:
    rows = table.rows({OPENAI_NODE: "openai@7.59.0 does not install here"})
    assert "| `openai` for Node (1) | 7.59.0 |  |" in rows
    assert "1. `openai` for Node: openai@7.59.0 does not install here" in rows
    assert not table.failures("openai@7.59.0 does not install here")


def test_what_does_not_hold_is_told() -> None:
    results = [Result(check=Check.PLAIN, passed=True), Result(check=Check.BROKEN, passed=False, remark="no | error\n")]
    rows = table.rows({OPENAI_NODE: results})
    assert "| `openai` for Node (1) | 7.59.0 | yes | - | - | - | - | **no** | - |" in rows
    assert "1. `openai` for Node: an error in a stream: no / error\n" in rows
    assert table.failures(results) == [Check.BROKEN]


def _assert_all_hold(command: list[str]) -> None:
    done = environments.run(command)
    results = [msgspec.json.decode(line, type=Result) for line in done.stdout.splitlines()]
    assert [result for result in results if not result.passed] == [], done.stderr
    assert {result.check for result in results} == set(Check), done.stderr
