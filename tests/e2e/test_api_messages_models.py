"""`/v1/models` as the official `anthropic` client asks for it; to OpenAI's clients it stays what it was."""

from collections.abc import Generator
from datetime import UTC, datetime

import anthropic
import httpx
import pytest

from gateway.contracts.keys import KeyRole
from gateway.keys import load_keys
from gateway.settings import KeySettings, Settings
from tests.support.served import SCRIPTED, Served, serving

MODELS = ("tutor", "faulty")
MODELS_OF = {"all": None, "one": ("tutor",)}
SECRETS = {name: name * 16 for name in MODELS_OF}
VERSION = {"anthropic-version": "2023-06-01"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    keys = load_keys(
        [KeySettings(name=it, role=KeyRole.CHAT, secret_env=it, models=models) for it, models in MODELS_OF.items()],
        environ=SECRETS,
    )
    settings = Settings(state_dir=str(tmp_path_factory.mktemp("state")))
    with serving(settings, [SCRIPTED / model for model in MODELS], keys=keys) as served:
        yield served


def asking(served: Served, key: str = "all") -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=served.url, api_key=SECRETS[key], max_retries=0, timeout=20)


@pytest.fixture
def client(served: Served) -> Generator[anthropic.Anthropic]:
    with asking(served) as client:
        yield client


@pytest.fixture
def http(served: Served) -> Generator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=20, headers={"x-api-key": SECRETS["all"], **VERSION}) as http:
        yield http


def test_models_are_listed_as_anthropics_are(client: anthropic.Anthropic) -> None:
    page = client.models.list()
    assert sorted(model.id for model in page.data) == sorted(MODELS)
    assert (page.has_more, page.first_id, page.last_id) == (False, page.data[0].id, page.data[-1].id)
    for model in page.data:
        assert (model.type, model.display_name, model.lifecycle) == ("model", model.id, "active")
        assert model.max_input_tokens
        assert model.created_at.tzinfo is not None
        assert abs((datetime.now(UTC) - model.created_at).total_seconds()) < 3600


def test_one_model_is_described_as_anthropics_are(client: anthropic.Anthropic) -> None:
    assert client.models.retrieve("tutor") in client.models.list().data


def test_a_page_at_a_time_leads_to_all_of_them_both_ways(client: anthropic.Anthropic) -> None:
    ids = [model.id for model in client.models.list(limit=1)]
    assert sorted(ids) == sorted(MODELS)
    assert [model.id for model in client.models.list(limit=1, before_id=ids[-1])] == [ids[0]]
    assert client.models.list(after_id=ids[-1]).data == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "1001"}, "limit"),
        ({"after_id": "nobody"}, "after_id"),
        ({"before_id": "nobody"}, "before_id"),
    ],
)
def test_a_page_that_cannot_be_is_refused_by_its_field(http: httpx.Client, query: dict[str, str], field: str) -> None:
    response = http.get("/v1/models", params=query)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert f"`{field}`" in response.json()["error"]["message"]


def test_a_model_that_is_not_served_is_an_error_of_anthropics(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as raised:
        client.models.retrieve("nobody")
    assert raised.value.request_id == raised.value.response.headers["x-request-id"]
    assert raised.value.response.json()["error"]["type"] == "not_found_error"


def test_a_key_sees_its_own_models_alone(served: Served) -> None:
    with asking(served, "one") as client:
        assert [model.id for model in client.models.list()] == ["tutor"]
        with pytest.raises(anthropic.NotFoundError):
            client.models.retrieve("faulty")


def test_a_wrong_key_is_refused_as_anthropics_is(served: Served) -> None:
    answer = httpx.get(f"{served.url}/v1/models", headers={"x-api-key": "wrong", **VERSION}, timeout=20)
    assert (answer.status_code, answer.json()["error"]["type"]) == (401, "authentication_error")


def test_without_anthropics_header_both_stay_openais(served: Served) -> None:
    bearer = {"authorization": f"Bearer {SECRETS['all']}"}
    with httpx.Client(base_url=served.url, timeout=20) as http:
        assert http.get("/v1/models", headers=bearer).json()["object"] == "list"
        assert http.get("/v1/models/tutor", headers=bearer).json()["object"] == "model"
        refused = http.get("/v1/models", headers={"x-api-key": SECRETS["all"]})
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")
