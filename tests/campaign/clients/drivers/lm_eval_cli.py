"""lm-evaluation-harness on a task of three questions; the first argument is its mode, the second the tokenizer.

`completions` scores a choice of answers by their log-likelihood, `chat` generates.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import checks

MODE, TOKENIZER = checks.ARGUMENTS
PROGRAM = Path(sys.executable).parent / "lm_eval"
HOME = Path(tempfile.mkdtemp())
ENVIRONMENT = {
    **os.environ,
    "HF_HOME": str(HOME / "hub"),
    "HF_HUB_OFFLINE": "1",
    "OPENAI_API_KEY": "unused",
}
QUESTIONS = HOME / "questions.jsonl"
QUESTIONS.write_text(
    "".join(
        json.dumps({"question": question, "choices": choices, "answer": 0, "generated": checks.PLAIN_ANSWER}) + "\n"
        for question, choices in (
            (checks.PLAIN, ["Paris", "Madrid"]),
            ("What is the capital of France, of all of it?", ["Paris", "Zzyzx, qqq"]),
            ("Of what country is Paris the capital of France?", ["France", "Pans and pots"]),
        )
    )
)
DATA = f"""
dataset_path: json
dataset_kwargs: {{data_files: {{test: {QUESTIONS}}}}}
test_split: test
"""
TASKS = {
    "choose": f"""
task: choose
{DATA}
output_type: multiple_choice
doc_to_text: "{{{{question}}}} Answer:"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: answer
metric_list: [{{metric: acc}}]
""",
    "say": f"""
task: say
{DATA}
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{generated}}}}"
generation_kwargs: {{until: ["\\n\\n"], max_gen_toks: 50}}
metric_list: [{{metric: exact_match}}]
""",
    "wait": f"""
task: wait
{DATA}
output_type: generate_until
doc_to_text: "{checks.SLOW}"
doc_to_target: "{{{{generated}}}}"
metric_list: [{{metric: exact_match}}]
""",
}
for task, text in TASKS.items():
    (HOME / f"{task}.yaml").write_text(text)


class LmEvalError(Exception):
    """The command ended with another status than 0; the text is what it said."""


def _command(task: str, model: str) -> list[str]:
    arguments = ["num_concurrent=1", "max_retries=1", f"model={model}"]
    if MODE == "completions":
        kind = "local-completions"
        arguments += [f"base_url={checks.GATEWAY}/v1/completions", f"tokenizer={TOKENIZER}"]
        # A scripted model has another vocabulary than the tokenizer: it is sent the text.
        arguments += ["tokenizer_backend=huggingface", f"tokenized_requests={model != checks.SCRIPTED}"]
    else:
        kind = "local-chat-completions"
        arguments += [f"base_url={checks.GATEWAY}/v1/chat/completions"]
    command = [str(PROGRAM), "run", "--model", kind, "--model_args", ",".join(arguments), "--tasks", task]
    command += ["--include_path", str(HOME), "--output_path", str(HOME / task), "--log_samples"]
    return command if MODE == "completions" else [*command, "--apply_chat_template"]


def _evaluate(task: str, model: str) -> Any:
    """Return the figures of the task."""
    done = subprocess.run(
        _command(task, model), env=ENVIRONMENT, capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode:
        raise LmEvalError(done.stderr)
    (results,) = (HOME / task).rglob("results_*.json")
    return json.loads(results.read_text())["results"][task]


def plain() -> str:
    if MODE == "chat":
        score = _evaluate("say", checks.SCRIPTED)["exact_match,none"]
        checks.same(score, 1.0)
        return "exact match 1.00"
    score = _evaluate("choose", checks.CONSTRAINED)["acc,none"]
    assert 0 <= score <= 1
    return f"accuracy {score:.2f}"


def error() -> None:
    task = "say" if MODE == "chat" else "choose"
    checks.raised(LmEvalError, lambda: _evaluate(task, checks.NOBODY), said=f"`{checks.NOBODY}`")


def cancelled() -> None:
    before = checks.departures()
    with subprocess.Popen(
        _command("wait", checks.SCRIPTED), env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as asking:
        checks.seen_to_run()
        asking.send_signal(signal.SIGINT)
        checks.seen_to_leave(before)


checks.run(plain=plain, error=error, cancelled=cancelled)
