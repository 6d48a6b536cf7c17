"""The recipes for curl, as gateway/RECIPES.md has them."""

import json
from pathlib import Path

from tests.campaign.clients import recipes
from tests.conftest import require_program


def test_the_recipes_for_curl_work_as_they_are_written(tmp_path: Path) -> None:
    require_program("curl")
    home = tmp_path / "home"
    home.mkdir()
    with recipes.gateway(tmp_path) as address:
        answer, stream, models = recipes.carry_out(recipes.CURL, address=address, home=home)
    assert json.loads(answer)["choices"][0]["message"]["content"] == recipes.ANSWER
    events = [event.removeprefix("data: ") for event in stream.split("\n\n") if event]
    assert events[-1] == "[DONE]"
    deltas = [json.loads(event)["choices"][0]["delta"] for event in events[:-1]]
    assert "".join(delta.get("content", "") for delta in deltas) == recipes.ANSWER
    assert [model["id"] for model in json.loads(models)["data"]] == [recipes.MODEL]
