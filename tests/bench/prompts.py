"""Prompts of about so many tokens: common words, drawn by a number, so that no two share more than a template."""

import random

import msgspec

from tests.bench.workload import Client, Message, Turn, Workload

_WORDS = (
    *("river", "stone", "garden", "window", "market", "bridge", "letter", "summer", "winter", "morning", "paper"),
    *("mountain", "village", "music", "horse", "city", "island", "forest", "table", "silver", "golden", "quiet"),
    *("yellow", "narrow", "simple", "heavy", "early", "late", "young", "old", "bright", "dark"),
)
"""Each is one token of most vocabularies."""
_QUESTION = "Tell me a story about these things:"


def words(count: int, *, draw: str) -> str:
    chosen = random.Random(draw).choices(_WORDS, k=count)  # noqa: S311 - no secret
    return " ".join(chosen)


def question(tokens: int, *, draw: str) -> Message:
    return Message("user", f"{_QUESTION} {words(tokens, draw=draw)}.")


def closed_loop(*, streams: int, requests: int, prompt_tokens: int, max_tokens: tuple[int, ...], draw: str) -> Workload:
    """Return so many clients, each of which asks again as soon as it is answered.

    Answers take the lengths of `max_tokens` in turn: with one length all streams end together, with several prompts
    keep arriving while others decode.
    """
    turns = [
        Turn(
            messages=(question(prompt_tokens, draw=f"{draw}-{number}"),),
            max_tokens=max_tokens[number % len(max_tokens)],
        )
        for number in range(requests)
    ]
    return Workload(clients=tuple(Client(turns=tuple(turns[stream::streams])) for stream in range(streams)))


def conversations(
    *, clients: int, turns: int, system_tokens: int, turn_tokens: int, max_tokens: int, draw: str
) -> Workload:
    """Return clients that share a system prompt and each go on with a conversation of their own."""
    system = Message("system", f"You know this by heart: {words(system_tokens, draw=draw)}.")

    def turn(client: int, number: int) -> Turn:
        said = question(turn_tokens, draw=f"{draw}-{client}-{number}")
        return Turn(messages=(said,) if number else (system, said), max_tokens=max_tokens, fresh=number == 0)

    return Workload(
        clients=tuple(Client(turns=tuple(turn(client, number) for number in range(turns))) for client in range(clients))
    )


def beside_evaluation(*, trials_at_once: int, trials: int, foreground: Workload, draw: str) -> Workload:
    """Return the workload with an evaluation that goes on all the while."""
    evaluation = closed_loop(
        streams=trials_at_once, requests=trials, prompt_tokens=30, max_tokens=(32,), draw=f"{draw}-evaluation"
    )
    behind = (msgspec.structs.replace(client, background=True, evaluation=True) for client in evaluation.clients)
    return Workload(clients=(*behind, *foreground.clients))


def beside(
    *, background: int, background_prompt: int, background_tokens: int, foreground: Workload, draw: str
) -> Workload:
    """Return the workload with so many streams that decode all the while."""
    behind = tuple(
        Client(
            turns=(
                Turn(
                    messages=(question(background_prompt, draw=f"{draw}-behind-{number}"),),
                    max_tokens=background_tokens,
                ),
            ),
            background=True,
        )
        for number in range(background)
    )
    return Workload(clients=(*behind, *foreground.clients))
