"""The third thread: reads requests, so that no stream waits while a long prompt is tokenised or a schema compiled.

One thread reads them all, because tokenizers are not safe for two that encode.
"""

import itertools
import queue
import threading
from collections.abc import Callable

from gateway import wire
from gateway.engine.echo import Echo
from gateway.engine.handoff import Loaded, Parked, Prepared
from gateway.engine.logprobs import LogprobLedger
from gateway.engine.prompt import prompt_of, scanner_of, splitter_of, tokens_allowed
from gateway.engine.reply import Reply
from gateway.engine.row_options import check_logit_bias, constraint_of
from gateway.engine.runner import RowSpec, ScoreSpec
from gateway.engine.score_text import score_spec
from gateway.engine.tokens import detokenized, tokenized
from gateway.engine.window import Refusal


class PromptThread:
    """Runs from its making until it is told to end."""

    def __init__(self, loaded: Loaded, done: Callable[[Prepared], None]) -> None:
        """`done` is called on this thread, once for each request, in order."""
        self._tokenizer = loaded.tokenizer
        self._context_length = loaded.ready.context_length
        self._done = done
        self._row_numbers = itertools.count(1)
        self._requests: queue.SimpleQueue[wire.Request | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="prompt", daemon=True).start()

    def put(self, request: wire.Request) -> None:
        self._requests.put(request)

    def end(self) -> None:
        """Let it end after what it has; nobody waits for it."""
        self._requests.put(None)

    def _run(self) -> None:
        while (request := self._requests.get()) is not None:
            self._done(Prepared(request, self._prepared(request)))

    def _prepared(self, request: wire.Request) -> Parked | ScoreSpec | wire.Tokenized | Refusal:
        try:
            match request:
                case wire.Submit():
                    return self._parked(request)
                case wire.Score():
                    row = next(self._row_numbers)
                    return score_spec(request, self._tokenizer, row=row, context_length=self._context_length)
                case wire.Tokenize():
                    return tokenized(request, self._tokenizer)
                case wire.Detokenize():
                    return detokenized(request, self._tokenizer)
        except Refusal as refusal:
            return refusal

    def _parked(self, submit: wire.Submit) -> Parked:
        """Check and tokenise a request. Raises Refusal."""
        if not all(submit.stop):
            raise Refusal("A stop string is empty; leave it out.", param="stop")
        tokenizer = self._tokenizer
        check_logit_bias(submit.sampling, tokenizer)
        prompt = prompt_of(submit, tokenizer)
        max_tokens = tokens_allowed(submit, prompt, context_length=self._context_length)
        continues = submit.prompt is not None
        spec = RowSpec(
            row=next(self._row_numbers),
            prompt=prompt.tokens,
            max_tokens=max_tokens,
            sampling=submit.sampling,
            constraint=constraint_of(submit, tokenizer),
            top_logprobs=submit.top_logprobs,
            prefix_cache=submit.prefix_cache,
            urgent=submit.urgent,
        )
        reply = Reply(
            submit.request_id,
            tokenizer.detokenizer(calls=submit.tools is not None, continues=continues),
            submit.stop,
            splitter=splitter_of(tokenizer, submit, prompt),
            scanner=scanner_of(tokenizer, submit),
            ledger=LogprobLedger(tokenizer, every_token=continues) if submit.top_logprobs is not None else None,
            constraint=spec.constraint,
            has_form=submit.grammar is not None,
        )
        echo = Echo(submit, spec, reply, tokenizer, row=next(self._row_numbers)) if submit.echo else None
        return Parked(spec, reply, echo)
