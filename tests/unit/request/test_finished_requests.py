"""Who has a request's id finds what became of it, as long as it is among the last."""

import msgspec
import pytest

from gateway.contracts.chat import FinishReason
from gateway.contracts.evaluations import Role
from gateway.finished_requests import FinishedRequest, FinishedRequests


def _request(number: int, *, variant: str | None = "tutor@0123", code: str | None = None) -> FinishedRequest:
    return FinishedRequest(
        request_id=f"request-{number}",
        finished_at_s=float(number),
        method="POST",
        path="/v1/chat/completions",
        status=200 if code is None else 404,
        code=code,
        duration_s=0.5,
        completion_id=f"chatcmpl-{number}" if variant is not None else None,
        model="tutor" if variant is not None else None,
        variant=variant,
        role=Role.INCUMBENT if variant is not None else None,
        stream=True,
        prompt_tokens=3,
        completion_tokens=4,
        finish_reason=FinishReason.STOP,
        time_to_first_token_s=0.1,
    )


def _ids(finished: FinishedRequests, part: str = "", *, failed_only: bool = False) -> list[str]:
    return [request.request_id for request in finished.find(part, failed_only=failed_only)]


def test_the_latest_comes_first_whether_it_was_answered_or_refused() -> None:
    finished = FinishedRequests()
    finished.add(_request(1))
    finished.add(_request(2, variant=None, code="model_not_found"))
    finished.add(_request(3))
    assert _ids(finished) == ["request-3", "request-2", "request-1"]


@pytest.mark.parametrize("part", ["request-2", "quest-2", "chatcmpl-2"])
def test_one_is_found_by_a_part_of_its_id_or_of_its_completions(part: str) -> None:
    finished = FinishedRequests()
    for number in range(1, 4):
        finished.add(_request(number))
    assert _ids(finished, part) == ["request-2"]


def test_an_id_that_is_not_there_is_not_found() -> None:
    finished = FinishedRequests()
    finished.add(_request(1))
    assert _ids(finished, "request-2") == []


def test_the_oldest_makes_room() -> None:
    finished = FinishedRequests(kept=2)
    for number in range(1, 4):
        finished.add(_request(number))
    assert _ids(finished) == ["request-3", "request-2"]


def test_whoever_is_refused_pushes_no_answer_out() -> None:
    finished = FinishedRequests(kept=2)
    finished.add(_request(1))
    for number in range(2, 9):
        finished.add(_request(number, variant=None, code="invalid_api_key"))
    assert _ids(finished) == ["request-8", "request-7", "request-1"]


def test_what_succeeded_without_a_variant_is_not_kept() -> None:
    finished = FinishedRequests()
    finished.add(_request(1, variant=None))
    assert _ids(finished) == []


def test_only_those_that_failed_are_asked_for() -> None:
    finished = FinishedRequests()
    finished.add(_request(1))
    finished.add(_request(2, code="engine_fault"))
    assert _ids(finished, failed_only=True) == ["request-2"]


def test_a_failure_is_told_by_the_status_where_there_is_no_code() -> None:
    finished = FinishedRequests()
    finished.add(msgspec.structs.replace(_request(1), status=500))
    assert _ids(finished, failed_only=True) == ["request-1"]
