"""The OpenAPI document is true: what schemathesis sends by it is never answered by what it does not say."""

import json
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.api.auth import ACCESS, CONSOLE
from gateway.api.errors import TABLE
from gateway.settings import Settings
from tests.support.served import SCRIPTED, Served, serving

EXAMPLES = 12
"""Requests to each operation."""
TIMEOUT_S = 100
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    with serving(Settings(state_dir=str(tmp_path_factory.mktemp("state"))), [SCRIPTED / "tutor"]) as served:
        yield served


@pytest.fixture(scope="module")
def document(served: Served) -> dict[str, Any]:
    response = httpx.get(f"{served.url}/openapi.json").raise_for_status()
    assert response.headers["content-type"] == "application/json"
    return response.json()


def test_every_route_is_in_the_document(document: dict[str, Any]) -> None:
    documented = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert documented == set(ACCESS) - set(CONSOLE)  # pages are no part of the API


def test_every_status_that_an_error_can_have_is_documented(document: dict[str, Any]) -> None:
    documented = {
        status
        for methods in document["paths"].values()
        for operation in methods.values()
        for status in operation["responses"]
    }
    # 405 has no operation: it is the answer to a method that the document does not have.
    assert {str(row.status) for row in TABLE.values()} <= documented | {"405"}


def test_every_reference_of_the_document_leads_somewhere(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    names = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert names <= set(document["components"]["schemas"])


@pytest.mark.timeout(TIMEOUT_S + 20)
def test_no_request_by_the_document_meets_an_error_or_a_status_that_is_not_in_it(
    served: Served, document: dict[str, Any], tmp_path: Path
) -> None:
    # A name that is served, or all that is ever met is a 404.
    for body in (
        *("ChatRequest", "CompletionRequest", "ResponseRequest", "MessageRequest", "CountTokensRequest"),
        *("TokenizeRequest", "DetokenizeRequest"),
    ):
        document["components"]["schemas"][body]["properties"]["model"] = {"const": "tutor"}
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(document))
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", str(path), "--url", served.url, "--checks", CHECKS),
        *("--phases", "fuzzing", "--max-examples", str(EXAMPLES), "--seed", "1", "--generation-deterministic"),
        # A repository's name would be looked up on the network.
        *("--exclude-operation-id", "register_variant", "--no-color"),
        # A build of the embedded model would be made.
        *("--exclude-operation-id", "start_build"),
        # From the first key on, every other request would be a 401.
        *("--exclude-operation-id", "create_key"),
    ]
    run = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, cwd=tmp_path)
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-2000:]
