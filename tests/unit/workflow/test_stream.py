import pytest

from canary.stream import StreamBroken, read_completion
from gateway.contracts.evaluations import Completion
from tests.support.fake_gateway import chunk


def read(*events: str, readings_s: tuple[float, ...], limit_s: float = 60.0) -> Completion:
    """Read events, the clock showing one reading at each chunk; the request was sent at 10."""
    readings = iter(readings_s)
    lines = "".join(events).splitlines()
    return read_completion(lines, started_s=10.0, clock=lambda: next(readings), limit_s=limit_s)


DONE = "data: [DONE]\n\n"


def test_times_are_taken_at_the_first_text_and_at_the_end_of_the_answer() -> None:
    completion = read(
        chunk(""),
        ": keep-alive\n\n",
        chunk("4"),
        chunk("2"),
        chunk(finish_reason="stop"),
        chunk(usage=2),
        DONE,
        readings_s=(10.5, 11.0, 12.0, 12.5, 20.0),
    )
    assert (completion.text, completion.time_to_first_token_s, completion.generation_time_s) == ("42", 1.0, 2.5)


def test_an_answer_without_text_has_its_first_token_at_its_end() -> None:
    completion = read(chunk(""), chunk(finish_reason="stop"), chunk(usage=1), DONE, readings_s=(10.5, 11.0, 11.1))
    assert (completion.text, completion.time_to_first_token_s, completion.generation_time_s) == ("", 1.0, 1.0)


def test_an_answer_that_never_ends_is_broken_off() -> None:
    with pytest.raises(StreamBroken, match="longer than 60 s"):
        read(chunk("4"), chunk("4"), readings_s=(11.0, 70.1))


@pytest.mark.parametrize(
    "events",
    [
        (chunk("4"), chunk(finish_reason="stop"), chunk(usage=2)),
        (chunk("4"), chunk(finish_reason="stop"), DONE),
        (chunk("4"), chunk(usage=2), DONE),
        (DONE,),
        (),
    ],
    ids=["no terminal event", "no usage", "no finish reason", "nothing", "no event"],
)
def test_a_stream_that_leaves_something_out_is_broken(events: tuple[str, ...]) -> None:
    with pytest.raises(StreamBroken):
        read(*events, readings_s=(11.0, 12.0, 13.0))
