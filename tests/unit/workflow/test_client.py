"""What the client makes of answers that a healthy gateway never gives."""

from collections.abc import Callable, Iterator

import httpx
import pytest
import stamina

from canary.client import ATTEMPTS, GatewayClient
from canary.errors import ExitCode, GatewayRefused, GatewayUnavailable, UsageError
from gateway.contracts.chat import ChatMessage, ChatRequest, FinishReason
from gateway.contracts.evaluations import Completion, ErrorCause, TrialError
from tests.support.evaluations import make_variant
from tests.support.fake_gateway import Broken, chunk, error_response, stream_response, whole_answer

VARIANT = make_variant("good")
REQUEST = ChatRequest(model="tutor", messages=(ChatMessage(role="user", content="2 + 2?"),), stream=True)

Answer = Callable[[httpx.Request], httpx.Response]


@pytest.fixture(autouse=True)
def _without_waits_between_attempts() -> Iterator[None]:  # pyright: ignore[reportUnusedFunction] - pytest uses it
    with stamina.set_testing(testing=True, attempts=ATTEMPTS, cap=True):
        yield


class Counted:
    """Gives one answer after another, the last one for ever, and keeps the requests."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def client(answer: Answer, *, api_key: str | None = None) -> GatewayClient:
    return GatewayClient("http://gateway.test", api_key=api_key, transport=httpx.MockTransport(answer))


def good_answer(text: str = "4") -> httpx.Response:
    return stream_response(whole_answer(text), VARIANT.reference)


def complete(answer: Answer) -> Completion | TrialError:
    with client(answer) as gateway:
        return gateway.complete(REQUEST, VARIANT)


@pytest.mark.parametrize(("prefix_cache", "said"), [(False, "off"), (True, "on")])
def test_a_trial_says_whether_it_may_use_the_kv_of_another(prefix_cache: bool, said: str) -> None:
    answers = Counted(good_answer())
    with client(answers) as gateway:
        gateway.complete(REQUEST, VARIANT, prefix_cache=prefix_cache)
    assert answers.requests[0].headers["x-gateway-prefix-cache"] == said


def test_a_trial_pins_its_variant_and_reads_text_usage_and_times() -> None:
    answers = Counted(good_answer("The answer is 4."))
    result = complete(answers)
    assert isinstance(result, Completion)
    assert (result.text, result.finish_reason, result.prompt_tokens, result.completion_tokens) == (
        "The answer is 4.",
        FinishReason.STOP,
        7,
        3,
    )
    assert 0 <= result.time_to_first_token_s <= result.generation_time_s
    assert answers.requests[0].headers["x-gateway-variant"] == VARIANT.reference


def test_the_key_is_sent_where_there_is_one() -> None:
    answers = Counted(httpx.Response(200, content=b"[]"))
    with client(answers, api_key="secret") as gateway:
        gateway.deployments()
    assert answers.requests[0].headers["authorization"] == "Bearer secret"


@pytest.mark.parametrize(
    "first",
    [
        error_response(429, "queue_full", **{"retry-after": "1"}),
        error_response(502, "bad_gateway"),
        error_response(503, "not_ready"),
        httpx.ConnectError("refused"),
        httpx.RemoteProtocolError("closed"),
        stream_response(chunk("4"), VARIANT.reference),
        stream_response("data: {\n\n", VARIANT.reference),
        stream_response(Broken([chunk("4")], httpx.ReadError("reset")), VARIANT.reference),
        stream_response(chunk("4") + chunk(usage=3) + "data: [DONE]\n\n", VARIANT.reference),
    ],
    ids=["429", "502", "503", "refused", "closed", "ends early", "no JSON", "reset", "no finish reason"],
)
def test_what_the_infrastructure_does_wrong_is_tried_again(first: httpx.Response | Exception) -> None:
    answers = Counted(first, good_answer())
    assert isinstance(complete(answers), Completion)
    assert len(answers.requests) == 2


def test_attempts_end_and_leave_an_infrastructure_error() -> None:
    answers = Counted(error_response(503, "not_ready", "starting"))
    assert complete(answers) == TrialError(code="not_ready", message="starting", cause=ErrorCause.INFRASTRUCTURE)
    assert len(answers.requests) == ATTEMPTS


def test_a_gateway_that_asks_for_too_much_patience_gets_no_second_attempt() -> None:
    answers = Counted(error_response(429, "queue_full", **{"retry-after": "3600"}))
    assert isinstance(complete(answers), TrialError)
    assert len(answers.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        error_response(500, "engine_crashed"),
        error_response(503, "engine_start_failed"),
        error_response(400, "context_length_exceeded"),
        stream_response(
            chunk("4") + 'data: {"error":{"message":"x","type":"e","param":null,"code":"engine_fault"}}\n\n',
            VARIANT.reference,
        ),
    ],
    ids=["crash", "start", "context", "in the stream"],
)
def test_an_error_of_the_variant_is_its_own_and_not_tried_again(answer: httpx.Response) -> None:
    answers = Counted(answer, good_answer())
    result = complete(answers)
    assert isinstance(result, TrialError)
    assert result.cause is ErrorCause.CANDIDATE
    assert len(answers.requests) == 1


def test_another_refusal_is_no_fault_of_the_variant_and_not_tried_again() -> None:
    answers = Counted(error_response(400, "invalid_value"), good_answer())
    result = complete(answers)
    assert isinstance(result, TrialError)
    assert result.cause is ErrorCause.INFRASTRUCTURE
    assert len(answers.requests) == 1


def test_a_trial_without_an_answer_in_time_is_not_tried_again() -> None:
    answers = Counted(httpx.ReadTimeout("slow"), good_answer())
    result = complete(answers)
    assert isinstance(result, TrialError)
    assert (result.code, len(answers.requests)) == ("timeout", 1)


@pytest.mark.parametrize("named", ["other@0123456789ab", "", "nonsense"])
def test_an_answer_of_another_variant_stops_the_run(named: str) -> None:
    answers = Counted(stream_response(whole_answer("4"), named))
    with pytest.raises(GatewayRefused, match=f"answered a request for {VARIANT.reference}"):
        complete(answers)
    assert len(answers.requests) == 1


def test_no_gateway_is_one_sentence_with_the_remedy() -> None:
    with pytest.raises(GatewayUnavailable, match="start one with `gateway serve`") as raised:
        complete(Counted(httpx.ConnectError("refused")))
    assert raised.value.exit_code is ExitCode.ERRORED
    with client(Counted(httpx.ConnectError("refused"))) as gateway, pytest.raises(GatewayUnavailable):
        gateway.deployments()


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_says_which_variable_to_set(status: int) -> None:
    refusal = Counted(error_response(status, "invalid_api_key", "unknown key"))
    with client(refusal) as gateway, pytest.raises(GatewayUnavailable, match=r"unknown key \(set GATEWAY_API_KEY"):
        gateway.deployments()
    with pytest.raises(GatewayUnavailable, match="GATEWAY_API_KEY"):
        complete(refusal)
    assert len(refusal.requests) == 2


def test_a_refusal_keeps_its_code_and_message() -> None:
    refusal = Counted(error_response(503, "memory_pressure", "it does not fit"))
    with client(refusal) as gateway, pytest.raises(GatewayRefused, match="it does not fit") as raised:
        gateway.load_engine("good")
    assert (raised.value.code, raised.value.exit_code) == ("memory_pressure", ExitCode.ERRORED)


def test_something_else_at_the_address_is_said_to_be_no_gateway() -> None:
    page = Counted(httpx.Response(200, content=b"<html>"))
    with client(page) as gateway, pytest.raises(GatewayUnavailable, match="is it this version's gateway"):
        gateway.deployments()
    bare = Counted(httpx.Response(502, content=b"<html>"))
    with client(bare) as gateway, pytest.raises(GatewayRefused, match="HTTP status 502 without an explanation"):
        gateway.deployments()


def test_an_address_without_a_scheme_is_refused() -> None:
    with pytest.raises(UsageError, match="must start with http"):
        GatewayClient("127.0.0.1:8080")


def test_names_are_quoted_into_paths() -> None:
    answers = Counted(httpx.Response(404))
    with client(answers) as gateway, pytest.raises(GatewayRefused):
        gateway.evaluation("../promotions?x")
    assert answers.requests[0].url.raw_path == b"/admin/evaluations/..%2Fpromotions%3Fx"
