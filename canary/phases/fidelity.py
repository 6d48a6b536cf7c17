"""Force golden answers on a candidate and on what it should equal, before any trial: a broken build shows at once."""

import contextlib
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from canary.client import CANDIDATE_CODES, GatewayClient
from canary.errors import GatewayRefused
from canary.golden import Golden, planned_goldens
from canary.phases.asking import Bring
from canary.suite import Suite
from gateway.contracts.admin import VariantView
from gateway.contracts.builds import Provenance
from gateway.contracts.digests import digest_of
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.evaluations import Evaluation
from gateway.contracts.fidelity import FidelityRecord, GoldenScore
from gateway.contracts.scoring import MAX_TOP_K, ScoreMessage, ScoreRequest, TokenScore
from gateway.contracts.tokens import TokenizeRequest
from gateway.contracts.variants import Variant

_ASSISTANT = "assistant"
_NOT_THERE = frozenset({ErrorCode.MEMORY_PRESSURE, ErrorCode.MODEL_UNREADABLE, ErrorCode.ENGINE_START_FAILED})
"""Why a reference may not be had: the incumbent stands in then."""


class Scored(msgspec.Struct, frozen=True, kw_only=True):
    """What one Variant made of a golden answer."""

    prompt: tuple[int, ...]
    positions: tuple[TokenScore, ...]

    @property
    def logprob(self) -> float:
        return math.fsum(position.logprob for position in self.positions)

    @property
    def answer(self) -> tuple[int, ...]:
        return tuple(position.token for position in self.positions)


def measure_fidelity(scorer: "Scorer", candidate: Variant, incumbent: Variant) -> FidelityRecord:
    """Score the answers on the candidate and on its reference, and return the sums that the judge reads.

    The reference is the model in float that the candidate's provenance names, where that is to be had, else the
    incumbent. What this loads beside the two, it unloads.
    """
    started_s = time.monotonic()
    record = _measured(scorer, candidate, incumbent)
    return msgspec.structs.replace(record, wall_time_s=time.monotonic() - started_s)


def _measured(scorer: "Scorer", candidate: Variant, incumbent: Variant) -> FidelityRecord:
    provenance = scorer.provenance(candidate)
    source = base = None
    try:
        own = scorer.score(candidate)
        if provenance is not None and provenance.reference is not None:
            source = scorer.score_apart(provenance.reference)
        digest, reference = source or (incumbent.digest, scorer.score(incumbent))
    except GatewayRefused as error:
        if error.code not in _NOT_THERE | CANDIDATE_CODES:
            raise
        return FidelityRecord(
            variant_digest=candidate.digest,
            reference_digest=incumbent.digest,
            against="incumbent",
            top_k=MAX_TOP_K,
            detail=str(error),
        )
    if source is not None and provenance is not None and provenance.base is not None:
        base = scorer.score_apart(provenance.base)
    scores = [
        _compared(golden, one, other, None if base is None else base[1][number])
        for number, (golden, one, other) in enumerate(zip(scorer.goldens, own, reference, strict=True))
    ]
    return FidelityRecord(
        variant_digest=candidate.digest,
        reference_digest=digest,
        against="incumbent" if source is None else "source",
        base_digest=None if base is None else base[0],
        top_k=MAX_TOP_K,
        answers=tuple(scores),
    )


class Scorer:
    """Scores the same golden answers on one Variant after another: each once, and what was stored before not again."""

    def __init__(
        self,
        gateway: GatewayClient,
        goldens: Sequence[Golden],
        *,
        model: str,
        note: Callable[[str], None],
        store: Path | None = None,
        bring: Callable[[Variant], None] = lambda _: None,
    ) -> None:
        """`store` is a directory for scores, by digest of the Variant and the answers.

        A model in float that does not fit beside the others is then scored once, or elsewhere.
        """
        self.goldens = goldens
        self._gateway = gateway
        self._model = model
        self._note = note
        self._store = store
        self._bring = bring
        self._scored: dict[str, list[Scored]] = {}

    def score(self, variant: Variant) -> list[Scored]:
        """Return what the Variant makes of each answer; its engine is loaded for it where need be."""
        digest = variant.digest
        if digest not in self._scored:
            stored = self._stored(digest)
            if stored is None:
                self._note(f"Scoring {len(self.goldens)} golden answers on {variant.reference}.")
                stored = [self._score_one(variant, golden) for golden in self.goldens]
                self._keep(digest, stored)
            self._scored[digest] = stored
        return self._scored[digest]

    def score_apart(self, directory: str) -> tuple[str, list[Scored]] | None:
        """Return the scores of a model that is no system of the run, and its digest; None where it is not to be had."""
        loaded = True
        view: VariantView | None = None
        try:
            view = self._gateway.register(directory)
            if view.digest not in self._scored and self._stored(view.digest) is None:
                loaded = self._is_loaded(view)
                self._gateway.load_engine(view.reference)
            return view.digest, self.score(view.variant)
        except GatewayRefused as error:
            if error.code not in _NOT_THERE:
                raise
            self._note(f"{directory} cannot be scored: {error}")
            return None
        finally:
            if view is not None and not loaded and self._is_loaded(view):
                self._gateway.unload_engine(view.reference)

    def provenance(self, variant: Variant) -> Provenance | None:
        """Return what the gateway made the Variant of, None where it did not make it."""
        return next((build.provenance for build in self._gateway.builds() if build.path == variant.engine.path), None)

    def _is_loaded(self, view: VariantView) -> bool:
        return view.variant.engine.digest in {engine.engine_digest for engine in self._gateway.engines()}

    def _score_one(self, variant: Variant, golden: Golden) -> Scored:
        """Have the prompt rendered by the Variant's own template, and the answer scored after it."""
        self._bring(variant)
        asked = (ScoreMessage(role=message.role, content=message.text) for message in golden.messages)
        messages = (*asked, ScoreMessage(role=_ASSISTANT, content=golden.answer))
        view = self._gateway.score(ScoreRequest(variant=variant.reference, messages=messages, top_k=MAX_TOP_K))
        rendered = self._gateway.tokenize(TokenizeRequest(model=self._model, messages=golden.messages), variant)
        return Scored(prompt=rendered.tokens, positions=view.positions)

    def _stored(self, digest: str) -> list[Scored] | None:
        try:
            body = self._file(digest).read_bytes() if self._store is not None else b""
            return msgspec.msgpack.decode(body, type=list[Scored])
        except (OSError, msgspec.DecodeError):
            return None

    def _keep(self, digest: str, scored: list[Scored]) -> None:
        """Write the scores, whole or not at all. A disk that takes none costs a later run its time, and no more."""
        if self._store is None:
            return
        file = self._file(digest)
        with contextlib.suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            partial = file.with_name(f".{file.name}.{os.getpid()}")
            partial.write_bytes(msgspec.msgpack.encode(scored))
            partial.replace(file)

    def _file(self, digest: str) -> Path:
        parts = {"variant": digest, "goldens": self.goldens, "top_k": MAX_TOP_K}
        return (self._store or Path()) / f"{digest_of(msgspec.to_builtins(parts))}.msgpack"


def _compared(golden: Golden, candidate: Scored, reference: Scored, base: Scored | None) -> GoldenScore:
    answer_differs_at = _first_difference(candidate.answer, reference.answer)
    same = answer_differs_at is None
    pairs = list(zip(reference.positions, candidate.positions, strict=True)) if same else []
    decisive = _decisive(golden, reference.positions) if same else frozenset[int]()
    divergences = [divergence_nats(one, other) for one, other in pairs]
    same_top = [_top(one) == _top(other) for one, other in pairs]
    comparable = base is not None and base.answer == candidate.answer == reference.answer
    gains = list(zip(*map(_logprobs, (candidate, reference, base)), strict=True)) if base and comparable else []
    return GoldenScore(
        case_id=golden.case_id,
        family=golden.family,
        prompt_differs_at=_first_difference(candidate.prompt, reference.prompt),
        answer_differs_at=answer_differs_at,
        answer_bytes=len(golden.answer.encode()),
        token_count=len(pairs),
        kl_nats=math.fsum(divergences),
        kl_max_nats=max(divergences, default=0.0),
        same_top_count=sum(same_top),
        flip_count=sum((_top(one) == one.token) is not (_top(other) == other.token) for one, other in pairs),
        decision_count=len(decisive),
        decision_same_top_count=sum(same_top[position] for position in decisive),
        decision_kl_nats=math.fsum(divergences[position] for position in decisive),
        candidate_logprob=candidate.logprob,
        reference_logprob=reference.logprob,
        base_logprob=base.logprob if base and comparable else None,
        gain_square=math.fsum((whole - without) ** 2 for _, whole, without in gains),
        gain_product=math.fsum((own - without) * (whole - without) for own, whole, without in gains),
    )


def divergence_nats(reference: TokenScore, candidate: TokenScore) -> float:
    """Return the divergence over the tokens that both list, and one bucket for all others.

    Merging tokens into a bucket can only lower it, so this is a lower bound of the whole (data processing inequality).
    """
    theirs = {top.token: top.logprob for top in candidate.top}
    shared = [(top.logprob, theirs[top.token]) for top in reference.top if top.token in theirs]
    divergence = math.fsum(math.exp(p) * (p - q) for p, q in shared)
    rest_p = reference.tail_mass + math.fsum(math.exp(top.logprob) for top in reference.top if top.token not in theirs)
    ours = {top.token for top in reference.top}
    rest_q = candidate.tail_mass + math.fsum(math.exp(top.logprob) for top in candidate.top if top.token not in ours)
    if rest_p > 0 and rest_q > 0:
        divergence += rest_p * math.log(rest_p / rest_q)
    return max(divergence, 0.0)


def _decisive(golden: Golden, positions: Sequence[TokenScore]) -> frozenset[int]:
    """Return the positions of the tokens that hold a part of a deciding word."""
    spans = golden.decisive_spans()
    found: set[int] = set()
    begin = 0
    for number, position in enumerate(positions):
        end = begin + len(position.text)
        if any(first < end and begin < last for first, last in spans):
            found.add(number)
        begin = end
    return frozenset(found)


def _logprobs(scored: Scored) -> list[float]:
    return [position.logprob for position in scored.positions]


def _top(position: TokenScore) -> int:
    return position.top[0].token


def _first_difference(one: Sequence[int], other: Sequence[int]) -> int | None:
    """Return where two texts of tokens part, None where they are equal."""
    if tuple(one) == tuple(other):
        return None
    shared = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(shared) if a != b), min(len(one), len(other)))


def with_fidelity(
    gateway: GatewayClient,
    record: Evaluation,
    suite: Suite,
    *,
    environ: Mapping[str, str],
    bring: Bring,
    note: Callable[[str], None],
) -> Evaluation:
    """Return the record of a run that has no trial yet with the fidelity of each candidate that is another engine."""
    incumbent = record.incumbent.variant
    others = [system.variant for system in record.candidates if system.variant.engine.digest != incumbent.engine.digest]
    goldens = planned_goldens(suite)
    if not others or not goldens:
        return record
    positions = {system.variant.digest: position for position, system in enumerate(record.systems)}

    def bring_variant(variant: Variant) -> None:
        if variant.digest in positions:
            bring(positions[variant.digest])

    scorer = Scorer(
        gateway, goldens, model=record.model, note=note, store=reference_store(environ), bring=bring_variant
    )
    return msgspec.structs.replace(
        record, fidelity=tuple(measure_fidelity(scorer, variant, incumbent) for variant in others)
    )


def reference_store(environ: Mapping[str, str]) -> Path:
    """Return where scores are kept between runs: below XDG_CACHE_HOME, or ~/.cache."""
    cache = environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "gateway-canary" / "references"
