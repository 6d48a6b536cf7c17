"""The shipped fake behind the runner's seam: scripted answers, delays and faults, and the same tokens every time.

What `scripted.toml` may say stands in `gateway/contracts/scripted.py`. Sampling parameters change nothing.
"""

import os
import re
import signal
import time
from collections.abc import Callable, Sequence

from gateway.contracts.admin import EngineMemory, PrefixCacheCounts
from gateway.contracts.chat import FinishReason
from gateway.contracts.scripted import FaultKind, ScriptedAnswer, ScriptedFault, ScriptedModel
from gateway.engine.runner import DrawnLogprob, RowSpec, RowToken
from gateway.engine.scripted_prefixes import ScriptedPrefixes
from gateway.engine.scripted_scoring import scripted_position
from gateway.engine.scripted_tokenizer import END, last_user_text

EXIT_FAULT_STATUS = 70


class ScriptedError(Exception):
    """The script asked for it."""


class _Row:
    def __init__(
        self, spec: RowSpec, answer: ScriptedAnswer, faults: tuple[ScriptedFault, ...], cached_tokens: int
    ) -> None:
        self.spec = spec
        self.answer = answer
        self.faults = faults
        self.cached_tokens = cached_tokens
        self.tokens = [*answer.text.encode(), END]
        self.generated = 0

    def next_token(self) -> RowToken:
        before = self.tokens[self.generated - 1] if self.generated else self.spec.prompt[-1]
        token = self.tokens[self.generated]
        self.generated += 1
        reason = None
        if token == END:
            reason = FinishReason.STOP
        elif self.generated >= self.spec.max_tokens:
            reason = FinishReason.LENGTH
        return RowToken(self.spec.row, token, reason, self._logprob(before, token), self.cached_tokens)

    def _logprob(self, before: int, token: int) -> DrawnLogprob | None:
        if self.spec.top_logprobs is None:
            return None
        position = scripted_position(before, token, self.spec.top_logprobs)
        return DrawnLogprob(position.logprob, position.top)


class ScriptedRunner:
    """Every step takes `step_delay_s` and gives every row one token."""

    def __init__(self, model: ScriptedModel, *, sleep: Callable[[float], None] = time.sleep) -> None:
        """Raises re.error where a pattern of the script is none."""
        self._model = model
        self._sleep = sleep
        self._answers = [(re.compile(answer.match), answer) for answer in model.answers]
        self._faults = [(re.compile(fault.match), fault) for fault in model.faults]
        self._default = ScriptedAnswer(match="", text=model.default_text)
        self._rows: dict[int, _Row] = {}
        self._prefixes = ScriptedPrefixes()
        self._leaked_bytes = 0
        self._peak_bytes = 0

    def insert(self, spec: RowSpec) -> None:
        if not self._rows:
            self._peak_bytes = 0
        text = last_user_text(spec.prompt)
        answer = next((answer for pattern, answer in self._answers if pattern.search(text)), self._default)
        faults = tuple(fault for pattern, fault in self._faults if pattern.search(text))
        cached_tokens = self._prefixes.fetch(spec.prompt) if spec.prefix_cache else 0
        self._rows[spec.row] = _Row(spec, answer, faults, cached_tokens)

    def step(self) -> Sequence[RowToken]:
        rows = list(self._rows.values())
        if not rows:
            return []
        self._sleep(self._model.step_delay_s + max(row.answer.step_delay_s for row in rows))
        for row in rows:
            for fault in row.faults:
                if fault.at_token == row.generated + 1:
                    self._meet(fault.kind)
        tokens = [row.next_token() for row in rows]
        self._peak_bytes = max(self._peak_bytes, self._active_bytes)
        for token in tokens:
            if token.finish_reason:
                ended = self._rows.pop(token.row)
                self._leaked_bytes += self._model.leak_bytes_per_request
                if ended.spec.prefix_cache:
                    self._prefixes.keep((*ended.spec.prompt, *ended.tokens[: ended.generated]))
        return tokens

    def remove(self, row: int) -> None:
        if not self._model.keeps_cancelled:
            self._rows.pop(row, None)

    def tidy(self) -> bool:
        return False

    def prefix_counts(self) -> PrefixCacheCounts:
        return self._prefixes.counts()

    def padding_ratio(self) -> float:
        return 0.0

    def memory(self) -> EngineMemory:
        """Return what the script declares; nothing of it is held."""
        active_bytes = self._active_bytes
        peak_bytes = max(active_bytes, self._peak_bytes)
        return EngineMemory(
            active_bytes=active_bytes, peak_bytes=peak_bytes, busy_peak_bytes=peak_bytes, footprint_bytes=active_bytes
        )

    @property
    def _active_bytes(self) -> int:
        tokens = sum(len(row.spec.prompt) + row.generated for row in self._rows.values())
        return self._model.weights_bytes + self._leaked_bytes + tokens * self._model.kv_bytes_per_token

    def close(self) -> None:
        self._rows.clear()

    def _meet(self, kind: FaultKind) -> None:
        match kind:
            case FaultKind.EXIT:
                os._exit(EXIT_FAULT_STATUS)
            case FaultKind.KILL:
                os.kill(os.getpid(), signal.SIGKILL)
            case FaultKind.HANG:
                while True:
                    self._sleep(3600.0)
            case FaultKind.RAISE:
                raise ScriptedError("the script says so")
