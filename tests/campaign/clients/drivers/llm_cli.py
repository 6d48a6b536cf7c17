"""The command `llm`, with the gateway's models in its extra-openai-models.yaml."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

import checks

PROGRAM = Path(sys.executable).parent / "llm"
HOME = Path(tempfile.mkdtemp())
MODELS = "".join(
    f"- model_id: {model}\n  model_name: {model}\n  api_base: {checks.GATEWAY}/v1\n"
    "  supports_tools: true\n  supports_schema: true\n"
    for model in (checks.SCRIPTED, checks.CONSTRAINED, checks.NOBODY)
)
(HOME / "extra-openai-models.yaml").write_text(MODELS)
ENVIRONMENT = {**os.environ, "LLM_USER_PATH": str(HOME), "OPENAI_API_KEY": "unused"}
FUNCTION = f"""
def get_weather(city: str) -> str:
    "Say the weather."
    assert city == "Paris"
    return "{checks.WEATHER_RESULT}"
"""
SCHEMA = {
    "type": "object",
    "properties": {"country": {"enum": list(checks.COUNTRIES)}, "large": {"type": "boolean"}},
    "required": ["country", "large"],
    "additionalProperties": False,
}


class LlmError(Exception):
    """The command ended with another status than 0; the text is what it said."""


def _llm(*arguments: str) -> str:
    command = [PROGRAM, *arguments]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise LlmError(done.stderr)
    return done.stdout.strip()


def plain() -> None:
    checks.same(_llm("-m", checks.SCRIPTED, "--no-stream", checks.PLAIN), checks.PLAIN_ANSWER)


def streamed() -> None:
    checks.same(_llm("-m", checks.SCRIPTED, checks.STREAMED), checks.STREAMED_ANSWER)


def tools() -> None:
    checks.same(_llm("-m", checks.SCRIPTED, "--functions", FUNCTION, checks.WEATHER), checks.WEATHER_ANSWER)


def structured() -> None:
    found = json.loads(_llm("-m", checks.CONSTRAINED, "--schema", json.dumps(SCHEMA), checks.PLACE))
    assert found["country"] in checks.COUNTRIES


def error() -> None:
    checks.raised(LlmError, lambda: _llm("-m", checks.NOBODY, checks.PLAIN), said=f"`{checks.NOBODY}`")


def broken() -> None:
    checks.raised(LlmError, lambda: _llm("-m", checks.SCRIPTED, checks.BROKEN), said="engine")


def cancelled() -> None:
    before = checks.departures()
    command = [PROGRAM, "-m", checks.SCRIPTED, checks.SLOW]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as asking:
        output: IO[bytes] = asking.stdout  # type: ignore[assignment] - it is a pipe.
        output.read(1)
        asking.send_signal(signal.SIGINT)
        checks.seen_to_leave(before)


checks.run(
    plain=plain,
    streamed=streamed,
    tools=tools,
    structured=structured,
    error=error,
    broken=broken,
    cancelled=cancelled,
)
