"""The clients that are tried, each at one version, and what a driver says of them."""

import enum
from dataclasses import dataclass

import msgspec


class Runtime(enum.StrEnum):
    PYTHON = "python"
    NODE = "node"


class Check(enum.StrEnum):
    PLAIN = "plain"
    STREAMED = "streamed"
    TOOLS = "tools"
    STRUCTURED = "structured"
    ERROR = "error"
    BROKEN = "broken"
    CANCELLED = "cancelled"


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One line that a driver writes."""

    check: Check
    passed: bool
    remark: str | None = None


@dataclass(frozen=True, kw_only=True)
class Client:
    name: str
    """On the command line."""
    shown: str
    packages: tuple[str, ...]
    """What is installed, as pip or npm names it; the first is the client itself."""
    driver: str
    arguments: tuple[str, ...] = ()
    """`{model}` becomes the directory of the model that is not scripted."""
    remark: str | None = None
    """What is the client's own doing, with the thread where its makers say so."""

    @property
    def runtime(self) -> Runtime:
        return Runtime.NODE if self.driver.endswith(".mjs") else Runtime.PYTHON

    @property
    def version(self) -> str:
        return self.packages[0].replace("==", "@").rpartition("@")[2]


OPENAI_PYTHON = Client(
    name="openai-python",
    shown="`openai` for Python, chat completions",
    packages=("openai==3.57.0",),
    driver="openai_python.py",
)
OPENAI_PYTHON_RESPONSES = Client(
    name="openai-python-responses",
    shown="`openai` for Python, responses",
    packages=OPENAI_PYTHON.packages,
    driver="openai_python.py",
    arguments=("responses",),
)
OPENAI_NODE = Client(
    name="openai-node",
    shown="`openai` for Node",
    packages=("openai@7.59.0",),
    driver="openai_node.mjs",
)
ANTHROPIC_PYTHON = Client(
    name="anthropic-python",
    shown="`anthropic` for Python",
    packages=("anthropic==2.14.0",),
    driver="anthropic_python.py",
)
_AGENTS = ("openai-agents==0.24.0",)
_LM_EVAL = ("lm-eval[api]==0.4.13", "transformers==5.24.0")

CLIENTS = (
    OPENAI_PYTHON,
    OPENAI_PYTHON_RESPONSES,
    OPENAI_NODE,
    ANTHROPIC_PYTHON,
    Client(
        name="langchain",
        shown="LangChain `ChatOpenAI`",
        packages=("langchain-openai==1.7.4",),
        driver="langchain_python.py",
        remark="It drops `reasoning_content`: langchain-ai/langchain#35059.",
    ),
    Client(
        name="litellm",
        shown="LiteLLM, the SDK",
        packages=("litellm==1.110.2",),
        driver="litellm_python.py",
        remark="An error in a stream is its own `MidStreamFallbackError`, with the gateway's words in it.",
    ),
    Client(
        name="vercel-ai",
        shown="Vercel AI SDK",
        packages=("ai@7.0.173", "@ai-sdk/openai-compatible@3.0.92", "zod@4.6.7"),
        driver="vercel_ai.mjs",
    ),
    Client(
        name="pydantic-ai",
        shown="pydantic-ai",
        packages=("pydantic-ai-slim[openai]==2.68.0",),
        driver="pydantic_ai_python.py",
    ),
    Client(
        name="openai-agents",
        shown="OpenAI Agents SDK, chat completions",
        packages=_AGENTS,
        driver="openai_agents_python.py",
    ),
    Client(
        name="openai-agents-responses",
        shown="OpenAI Agents SDK, responses",
        packages=_AGENTS,
        driver="openai_agents_python.py",
        arguments=("responses",),
    ),
    Client(name="llm", shown="`llm`", packages=("llm==0.36",), driver="llm_cli.py"),
    Client(
        name="lm-eval-completions",
        shown="lm-evaluation-harness, `local-completions`",
        packages=_LM_EVAL,
        driver="lm_eval_cli.py",
        arguments=("completions", "{model}"),
        remark="It needs the model's tokenizer on its own machine: EleutherAI/lm-evaluation-harness#3017.",
    ),
    Client(
        name="lm-eval-chat",
        shown="lm-evaluation-harness, `local-chat-completions`",
        packages=_LM_EVAL,
        driver="lm_eval_cli.py",
        arguments=("chat", "{model}"),
        remark="It generates only, and scores nothing: EleutherAI/lm-evaluation-harness#1196.",
    ),
)
