"""Time the systems beside each other: after a warm-up, each in turn on the same prompts, forth and back."""

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from canary.client import GatewayClient
from canary.judge import case_order, first_look, times_settled
from canary.phases.asking import Bring, engine_of, production_between, request_of
from canary.suite import Case, Suite
from gateway.contracts.admin import EngineView
from gateway.contracts.evaluations import Completion, ErrorCause, Evaluation, System, Trial, TrialError
from gateway.contracts.latency import LatencyBlock, LatencyRecord, TimedAnswer
from gateway.contracts.suites import LatencyProtocol

Place = tuple[int, System]
"""A system and its position in the record."""


class _Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One block that is to be timed."""

    cycle: int
    concurrency: int
    place: Place
    cases: tuple[Case, ...]


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What all requests have in common."""

    suite: Suite
    model: str
    planned: LatencyRecord


def planned_latency(suite: Suite) -> LatencyRecord | None:
    """Return the record as it is before anything is timed; None where times are to be read from the trials."""
    timing = suite.manifest.timing
    if timing is None:
        return None
    return LatencyRecord(
        output_tokens=timing.output_tokens,
        prefix_cache=suite.manifest.protocol.prefix_cache,
        warm_up_count=timing.warm_up_count,
        cycles=timing.cycles,
    )


def measure_latency(
    gateway: GatewayClient,
    places: Sequence[Place],
    suite: Suite,
    tried: Evaluation,
    *,
    bring: Bring,
    note: Callable[[str], None],
) -> LatencyRecord | None:
    """Time these systems of a record that has all its trials, as the suite's protocol says; None where it is not to be.

    Blocks of one cycle stand as A-B-B-A, the next begins with the system that this one ended the first half with: what
    drifts steadily meets all of them alike. After the first look at the times, only those go on that it leaves open.
    """
    record, protocol = tried.latency, suite.manifest.timing or LatencyProtocol()
    # The trials say which prompts have long enough answers.
    systems = [system for _, system in places]
    cases = choose_cases(suite, systems, tried.trials, output_tokens=protocol.output_tokens)
    if record is None or not cases:
        return record
    note(_plan_in_words(places, protocol))
    asked = _Asked(suite=suite, model=tried.model, planned=record)
    for place in places:
        bring(place[0])
        _ask(gateway, _Turn(cycle=0, concurrency=1, place=place, cases=cases[:1] * protocol.warm_up_count), asked)
    record = msgspec.structs.replace(record, host=gateway.host().digest)
    look = first_look(protocol.cycles) or protocol.cycles
    for cycles in (range(look), range(look, protocol.cycles)):
        left = places if cycles.start == 0 else _left_open(places, msgspec.structs.replace(tried, latency=record))
        turns = _turns(left, cases, protocol, cycles)
        blocks = [_time_block(gateway, turn, asked, bring=bring) for turn in turns]
        record = msgspec.structs.replace(record, blocks=(*record.blocks, *blocks))
    return record


def _timed_at(concurrency: int, places: Sequence[Place]) -> list[Place]:
    """Return those of the systems that are timed with so many requests in flight; nobody where no candidate is.

    Where an engine serves one request at a time, the others of several would be timed while they queue.
    """
    able = [place for place in places if concurrency == 1 or not place[1].variant.engine.one_at_a_time]
    return able if any(position for position, _ in able) else []


def _plan_in_words(places: Sequence[Place], protocol: LatencyProtocol) -> str:
    at = " and ".join(str(level) for level in protocol.levels if _timed_at(level, places))
    alone = [system.variant.name for _, system in places if system.variant.engine.one_at_a_time]
    at_one_only = f" One at a time only: {', '.join(alone)}." if alone and protocol.concurrency > 1 else ""
    return f"Timing {len(places)} systems in {protocol.cycles} cycles at most, requests in flight: {at}.{at_one_only}"


def _left_open(places: Sequence[Place], record: Evaluation) -> list[Place]:
    """Return the incumbent and the candidates whose times the first look leaves open; nobody where there are none."""
    over = times_settled(record)
    left = [place for place in places if place[0] == 0 or not over[place[0] - 1]]
    return left if len(left) > 1 else []


def choose_cases(
    suite: Suite, systems: Sequence[System], trials: Sequence[Trial], *, output_tokens: int
) -> tuple[Case, ...]:
    """Return the cases whose answers are as long as is to be timed, whoever gives them, in the judge's order.

    Where there are none, those whose answers are equally long; else all that were answered.
    """
    digests = {system.variant.digest for system in systems}
    lengths: dict[str, dict[str, int]] = {}
    for trial in trials:
        if isinstance(trial.result, Completion) and trial.variant_digest in digests:
            lengths.setdefault(trial.case_id, {})[trial.variant_digest] = trial.result.completion_tokens
    answered = {case_id: of.values() for case_id, of in lengths.items() if len(of) == len(digests)}
    long = {case_id for case_id, found in answered.items() if min(found) >= output_tokens}
    alike = {case_id for case_id, found in answered.items() if len(set(found)) == 1}
    chosen: Collection[str] = long or alike or answered
    of_id = {case.id: case for case in suite.cases}
    order = case_order([case.reference() for case in suite.cases], suite.manifest.seed)
    return tuple(of_id[reference.id] for reference in order if reference.id in chosen)


def _turns(places: Sequence[Place], cases: Sequence[Case], protocol: LatencyProtocol, cycles: range) -> Iterator[_Turn]:
    """Yield the blocks in the order to time them; each cycle goes on in the cases where the one before has ended."""
    for concurrency in protocol.levels:
        timed = _timed_at(concurrency, places)
        # Enough that all of them are in flight at once.
        count = max(protocol.prompts_per_cycle, concurrency)
        for cycle in cycles:
            asked = tuple(cases[(cycle * count + number) % len(cases)] for number in range(count))
            forth = timed if cycle % 2 == 0 else timed[::-1]
            for place in (*forth, *forth[::-1]):
                yield _Turn(cycle=cycle, concurrency=concurrency, place=place, cases=asked)


def _time_block(gateway: GatewayClient, turn: _Turn, asked: _Asked, *, bring: Bring) -> LatencyBlock:
    position, system = turn.place
    bring(position)
    before = gateway.engines()
    results = _ask(gateway, turn, asked)
    after = gateway.engines()
    errors = [result for _, result in results if isinstance(result, TrialError)]
    return LatencyBlock(
        system=position,
        cycle=turn.cycle,
        concurrency=turn.concurrency,
        answers=tuple(_timed(case, result) for case, result in results if isinstance(result, Completion)),
        batch_rows=_batch_rows(engine_of(system, before), engine_of(system, after)),
        production_requests=production_between(before, after),
        candidate_errors=tuple(error.code for error in errors if error.cause is ErrorCause.CANDIDATE),
        infrastructure_errors=tuple(error.code for error in errors if error.cause is ErrorCause.INFRASTRUCTURE),
    )


def _ask(gateway: GatewayClient, turn: _Turn, asked: _Asked) -> list[tuple[Case, Completion | TrialError]]:
    limit, prefix_cache = asked.planned.output_tokens, asked.planned.prefix_cache

    def ask(case: Case) -> Completion | TrialError:
        request = request_of(case.messages, asked.suite.manifest, model=asked.model, max_completion_tokens=limit)
        return gateway.complete(request, turn.place[1].variant, prefix_cache=prefix_cache)

    with ThreadPoolExecutor(max_workers=turn.concurrency) as pool:
        return list(zip(turn.cases, pool.map(ask, turn.cases), strict=True))


def _timed(case: Case, result: Completion) -> TimedAnswer:
    return TimedAnswer(
        case_id=case.id,
        time_to_first_token_s=result.time_to_first_token_s,
        end_to_end_s=result.generation_time_s,
        completion_tokens=result.completion_tokens,
        cached_tokens=result.cached_tokens,
    )


def _batch_rows(before: EngineView | None, after: EngineView | None) -> float | None:
    """Return the mean number of rows that decoded together; None where the engine does not count or was restarted."""
    if before is None or after is None:
        return None
    steps = after.work.decode_steps - before.work.decode_steps
    return (after.work.decoded_tokens - before.work.decoded_tokens) / steps if steps > 0 else None
