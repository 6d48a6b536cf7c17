"""Blocks of times that were never taken, for tests of what is made of them."""

from collections.abc import Sequence

import msgspec

from gateway.contracts.evaluations import Evaluation
from gateway.contracts.latency import LatencyBlock, LatencyRecord, TimedAnswer

OUTPUT_TOKENS = 11


def answer(case_id: str, end_to_end_s: float, **changes: object) -> TimedAnswer:
    plain = TimedAnswer(
        case_id=case_id,
        time_to_first_token_s=end_to_end_s / 6,
        end_to_end_s=end_to_end_s,
        completion_tokens=OUTPUT_TOKENS,
    )
    return msgspec.structs.replace(plain, **changes)


def block(system: int, cycle: int, answers: Sequence[TimedAnswer], **changes: object) -> LatencyBlock:
    plain = LatencyBlock(
        system=system, cycle=cycle, concurrency=1, answers=tuple(answers), batch_rows=1.0, production_requests=0
    )
    return msgspec.structs.replace(plain, **changes)


def abba(cycles: int, *, slower: float = 1.0, cases: int = 24, **of_candidate: object) -> tuple[LatencyBlock, ...]:
    """Return cycles of two prompts each, every prompt a little longer, the candidate slower by a factor."""
    blocks: list[LatencyBlock] = []
    for cycle in range(cycles):
        numbers = [(2 * cycle + offset) % cases for offset in range(2)]
        for turn, system in enumerate((0, 1, 1, 0)):
            # Noise of 1 %, which differs between the two runs of a prompt.
            factor = (slower if system else 1.0) * (1.0 + 0.01 * (-1) ** (cycle + turn // 2))
            answers = [answer(f"case-{number:03}", (1.0 + 0.01 * number) * factor) for number in numbers]
            changes = of_candidate if system else {}
            blocks.append(block(system, cycle, answers, **changes))
    return tuple(blocks)


def with_blocks(evaluation: Evaluation, blocks: Sequence[LatencyBlock], **changes: object) -> Evaluation:
    record = LatencyRecord(output_tokens=OUTPUT_TOKENS, prefix_cache=False, warm_up_count=2, blocks=tuple(blocks))
    return msgspec.structs.replace(evaluation, latency=msgspec.structs.replace(record, **changes))
