"""The sandbox stops what a program may not do, and says which of program and sandbox was at fault."""

# The child is ended, and looked at, behind the sandbox's back.
# pyright: reportPrivateUsage=false
import copy
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from canary.programs import sandbox as sandbox_module
from canary.programs.behaviour import Behaviour, Effect, Failure, FailureKind, same
from canary.programs.messages import Limits
from canary.programs.sandbox import Sandbox
from canary.programs.tools import Tool
from canary.programs.worlds import World

TOOLS = {
    "get": Tool(description="Get.", arguments={"id": "str"}, returns={"n": "int", "who": {"mail": "str"}}),
    "send": Tool(
        description="Send.", effect=True, arguments={"to": "str", "template": "str"}, defaults={"template": "t"}
    ),
}
WORLD: World = {"get": {'{"id":"x"}': {"n": 5, "who": {"mail": "a@x"}}}}
SHORT = Limits(time_s=0.3, calls_count=20)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    sandbox = Sandbox()
    yield sandbox
    sandbox.close()


def run(sandbox: Sandbox, source: str, world: World = WORLD) -> Behaviour | Failure:
    (outcome,) = sandbox.run(source, [world], tools=TOOLS, wants_result=True, limits=SHORT)
    return outcome


def kind_of(outcome: Behaviour | Failure) -> FailureKind | None:
    return outcome.kind if isinstance(outcome, Failure) else None


def result_of(outcome: Behaviour | Failure) -> object:
    assert isinstance(outcome, Behaviour), outcome
    return outcome.result


def test_effects_are_noted_with_all_their_arguments_and_reads_are_not(sandbox: Sandbox) -> None:
    outcome = run(sandbox, "r = get('x')\nsend(r['who']['mail'])\nresult = r['n']")

    assert isinstance(outcome, Behaviour)
    assert outcome.effects == (Effect(tool="send", arguments={"to": "a@x", "template": "t"}),)
    assert outcome.result == 5


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("while True: pass", "timeout"),
        ("try:\n    while True: pass\nexcept BaseException:\n    result = 1", "timeout"),
        ("[0] * 10**9", "memory"),
        ("'a' * 10**9", "memory"),
        ("9**9**9", "memory"),
        ("x = []\nwhile True: x.append('a' * 10**6)", "memory"),
        ("def f(n): return f(n + 1)\nf(0)", "memory"),
        ("print('x' * 10**6)", "memory"),
        ("result = 'x' * 10**6", "memory"),
        ("x = {}\nfor _ in range(60): x = {'a': x}\nresult = x", "memory"),
        ("send(to='x' * 10**6)", "bad_argument"),
        ("while True: get('x')", "too_many_calls"),
        ("while True:\n    try:\n        get('x')\n    except Exception:\n        pass", "too_many_calls"),
        (
            "for _ in range(21):\n    try:\n        get('x')\n    except Exception:\n        pass\nresult = 1",
            "too_many_calls",
        ),
        ("x = (", "syntax"),
        ("x = " + "(" * 5000, "syntax"),
        ("\x00", "syntax"),
        ("o.status", "exception"),
        ("get('x').n", "type"),
        ("get('x') + 1", "type"),
        ("get('x').items[0]", "type"),
        ("x = get('x').items\nresult = x[0]", "type"),
        ("for x in get('x').values: pass", "type"),
        ("'a'.translate({97: 'b'})", "sandbox_unsupported"),
        ("get('x')['m']", "exception"),
        ("1 / 0", "exception"),
        ("raise TimeoutError('feigned')", "exception"),
        ("assert False", "exception"),
        ("fetch('x')", "unknown_tool"),
        ("get()", "bad_argument"),
        ("get(5)", "bad_argument"),
        ("get('x', 'y')", "bad_argument"),
        ("get(name='x')", "bad_argument"),
        ("get('unknown')", "bad_argument"),
        ("def f():\n    yield 1\nlist(f())", "sandbox_unsupported"),
        ("x = get\ndel x.y", "sandbox_unsupported"),
        ("x = [1, 2, 3]\ndel x[::2]", "sandbox_unsupported"),
        ("class E(Exception): pass", "sandbox_unsupported"),
        ("import statistics", "sandbox_unsupported"),
        ("callable(get)", "sandbox_unsupported"),
    ],
)
def test_a_failure_has_its_class(sandbox: Sandbox, source: str, kind: str) -> None:
    assert kind_of(run(sandbox, source)) == kind


@pytest.mark.parametrize(
    "source",
    [
        "open('/etc/passwd').read()",
        "open('made', 'w').write('x')",
        "import os\nos.system('true')",
        "import os\nos.listdir('/')",
        "import os\nresult = os.environ['PATH']",
        "import sys\nsys.modules",
        "import socket",
        "import subprocess",
        "import requests",
        "import ctypes",
        "import pathlib\npathlib.Path('/etc/passwd').read_text()",
        "__import__('os')",
        "().__class__.__bases__",
        "get.__globals__",
        "(lambda: 0).__code__",
        "getattr((), '__class__')",
        "'{0.__class__}'.format(1)",
        "breakpoint()",
        "input()",
        "globals()",
        "exit()",
        "eval('__import__(\"os\")')",
        "exec('import socket')",
    ],
)
def test_nothing_outside_is_in_reach(sandbox: Sandbox, source: str) -> None:
    assert kind_of(run(sandbox, source)) in {"exception", "type", "unknown_tool"}


def test_a_program_that_met_a_limit_is_not_run_again_and_the_next_one_is_well(sandbox: Sandbox) -> None:
    stuck = sandbox.run("while True: pass", [WORLD] * 20, tools=TOOLS, wants_result=True, limits=SHORT)

    assert {kind_of(outcome) for outcome in stuck} == {FailureKind.TIMEOUT}
    assert len(stuck) == 20
    assert result_of(run(sandbox, "result = 1")) == 1


def test_programs_do_not_see_each_other(sandbox: Sandbox) -> None:
    run(sandbox, "leaked = 1\nresult = leaked")

    assert kind_of(run(sandbox, "result = leaked")) is FailureKind.EXCEPTION


def test_time_and_chance_are_the_same_in_every_run(sandbox: Sandbox) -> None:
    source = "import random, time, datetime\nresult = [random.random(), time.time(), str(datetime.datetime.now())]"

    assert result_of(run(sandbox, source)) == result_of(run(sandbox, source))


@pytest.mark.parametrize(
    ("source", "result"),
    [
        ("5\nget('x')['n']", 5),
        ("result = 1\n2", 1),
        ("result = (1, [2])", [1, [2]]),
        ("result = next((i for i in [1, 2] if i > 1), None)", 2),
        ("g = (i for i in [1, 2])\nresult = [next(g), next(g), next(g, 0)]", [1, 2, 0]),
        ("result = next(filter(lambda i: i > 1, [1, 2]), None)", 2),
        ("result = sum(i for i in [1, 2])", 3),
        ("from collections import Counter\nresult = Counter(['a', 'a'])", {"a": 2}),
        ("def main():\n    return 4\nif __name__ == '__main__':\n    result = main()", 4),
        ("result = {1, 2}", {"$set": ["1", "2"]}),
        ("result = 10**30", {"$int": str(10**30)}),
        ("result = '\\ud800'", "\ufffd"),
        ("d = {'a': 1, 'b': [1, 2]}\ndel d['a'], d['b'][0]\nresult = d", {"b": [2]}),
        ("x = [1, 2, 3, 4]\ndel x[1:3]\nresult = x", [1, 4]),
        ("x = 1\ndel x\nresult = 2", 2),
        ("from typing import TypedDict, Any\nclass R(TypedDict):\n    n: int\nx: Any = 1\nresult = x", 1),
        ("o = get('x')\no['n'] += 1\nresult = [o['n'], get('x')['n']]", [6, 5]),
    ],
)
def test_a_result_is_the_variable_or_the_last_expression(sandbox: Sandbox, source: str, result: object) -> None:
    assert result_of(run(sandbox, source)) == result


def test_a_child_that_ends_is_replaced_and_the_program_tried_again() -> None:
    sandbox = Sandbox()
    run(sandbox, "result = 1")
    child = sandbox._idle.queue[-1]
    assert child is not None
    child._process.kill()
    child._process.wait()

    assert result_of(run(sandbox, "result = 2")) == 2
    sandbox.close()


def test_a_child_that_does_not_answer_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_module, "GRACE_S", -0.25)
    sandbox = Sandbox()

    assert kind_of(run(sandbox, "while True: pass")) is FailureKind.TIMEOUT
    assert sandbox._idle.queue == [None]


def test_a_crash_of_the_sandbox_is_not_the_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_module, "_MODULE", "this_module_does_not_exist")

    outcome = run(Sandbox(), "result = 1")

    assert kind_of(outcome) is FailureKind.SANDBOX_CRASHED
    assert FailureKind.SANDBOX_CRASHED.of_sandbox


def test_the_belt_is_on(sandbox: Sandbox) -> None:
    assert {"cpu", "no_core", "no_file", "open_files"} <= set(sandbox.belt)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_child_has_neither_the_callers_environment_nor_room_to_grow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GATEWAY_API_KEY", "secret")
    sandbox = Sandbox()
    run(sandbox, "result = 1")
    child = sandbox._idle.queue[-1]
    assert child is not None
    pid = child._process.pid

    with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123 - a file of the kernel's
        names = {entry.split(b"=")[0] for entry in file.read().split(b"\0") if entry}
    with open(f"/proc/{pid}/limits") as file:  # noqa: PTH123 - as above
        limits = file.read()

    assert {name for name in names if not name.startswith((b"COVERAGE_", b"LC_"))} == {b"PYTHONPATH"}
    assert "Max file size             0" in limits
    if "no_network" in sandbox.belt:
        assert os.stat(f"/proc/{pid}/ns/net").st_ino != os.stat("/proc/self/ns/net").st_ino  # noqa: PTH116 - as above
    sandbox.close()


def test_threads_share_a_sandbox() -> None:
    sandbox = Sandbox(2)
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(run, sandbox, f"result = {number}") for number in range(40)]
        outcomes = [each.result() for each in running]
    sandbox.close()

    assert [result_of(outcome) for outcome in outcomes] == list(range(40))


IDIOMS = {
    "walrus": "if (o := get('x'))['n'] > 3:\n    result = o['n']",
    "walrus in a comprehension": "result = [y for i in [1, 2] if (y := i * 2) > 2]",
    "key function": "result = sorted([{'a': 2}, {'a': 1}], key=lambda i: (-i['a'], 0))[0]['a']",
    "any and all": "result = [any(i > 1 for i in [1, 2]), all([])]",
    "enumerate from one": "result = [f'{n}: {c}' for n, c in enumerate('ab', start=1)]",
    "unpacking": "(a, *b), c = [1, 2, 3], 4\nresult = [a, b, c, *b, {**{'d': 1}}]",
    "swap": "a, b = 1, 2\na, b = b, a\nresult = [a, b]",
    "arguments by star": "send(*['a'], **{'template': 'b'})\nresult = 1",
    "function under another name": "mail = send\nmail('a')\nresult = 1",
    "methods as functions": "d = {'a': 1, 'b': 2}\nresult = [max(d, key=d.get), sorted(['B', 'a'], key=str.lower), "
    "list(map(str.upper, ['a'])), list(filter(str.isdigit, '1a')), str.join('-', 'ab'), list(map('x{}'.format, [1]))]",
    "method under a name": "xs = []\nadd = xs.append\nadd(1)\nresult = xs",
    "fields named as methods": "class R:\n    def __init__(self):\n        self.pop = [1]\nx = R().pop\nresult = x[0]",
    "partial": "from functools import partial\npartial(send, template='b')('a')\nresult = 1",
    "helper with early return": "def size(n):\n    if n > 3:\n        return 'big'\n    return ''\nresult = size(5)",
    "closure": "def outer():\n    n = 0\n    def inner():\n        nonlocal n\n        n += 1\n        return n\n"
    "    return inner() + inner()\nresult = outer()",
    "global": "n = 0\ndef add(x):\n    global n\n    n += x\nadd(2)\nadd(3)\nresult = n",
    "decorator": "def twice(f):\n    return lambda x: f(f(x))\n@twice\ndef g(x):\n    return x + 1\nresult = g(1)",
    "missing key caught": "try:\n    result = get('x')['m']\nexcept KeyError as error:\n    result = str(error)",
    "try, else, finally": "try:\n    v = int('5')\nexcept (ValueError, TypeError):\n    v = 0\nelse:\n    v += 1\n"
    "finally:\n    w = 2\nresult = v + w",
    "unknown record caught": "try:\n    get('y')\nexcept LookupError:\n    result = 'absent'",
    "while with else": "i = 0\nwhile i < 3:\n    i += 1\nelse:\n    i = -1\nresult = i",
    "for with else": "for i in [1]:\n    if i > 1:\n        break\nelse:\n    result = 'none'",
    "grouping": "d = {}\nfor i in [1, 2, 3]:\n    d.setdefault(i % 2, []).append(i)\nresult = [d[0], d[1], d.get(2)]",
    "counting": "from collections import Counter, defaultdict\nd = defaultdict(int)\nd['a'] += 1\n"
    "result = [dict(d), Counter('aab').most_common(1)[0][1]]",
    "match": "match get('x'):\n    case {'n': int() as n, 'who': {'mail': m}} if n > 3:\n        result = m\n"
    "    case _:\n        result = None",
    "formats": "result = ['%s-%d' % ('a', 1), '{:.2f}'.format(2), f'{2.5:>6.1f}|{1234567:,}|{\"a\"!r}|{7:03d}']",
    "string methods": "result = ' A-b '.strip().lower().replace('-', ' ').title().split(' ', 1)[-1].removeprefix('x')",
    "dates": "from datetime import date, timedelta\n"
    "result = (date.fromisoformat('2026-02-27') + timedelta(days=2)).isoformat() < '2026-03-02'",
    "regular expression": "import re\nresult = re.search(r'(\\w)@', get('x')['who']['mail']).group(1)",
    "json": "import json\nresult = json.loads(json.dumps({'a': [1, None, True]}))",
    "class": "class Box:\n    def __init__(self, v):\n        self.v = v\n    def f(self):\n        return self.v * 2\n"
    "result = Box(3).f()",
    "dataclass": "from dataclasses import dataclass\n@dataclass\nclass P:\n    a: int\n    b: int = 2\nresult = P(1).b",
    "asyncio": "import asyncio\nasync def main():\n    return 3\nresult = asyncio.run(main())",
    "lists": "xs = [3, 1, 2]\nxs.append(4)\nxs.extend([5])\nxs.insert(0, 0)\nxs.remove(1)\nxs.sort(reverse=True)\n"
    "xs[0:2] = [9]\nresult = [xs, xs.index(2), xs[::-1], list(zip(xs, 'ab')), min([], default=None)]",
    "sets": "result = [sorted({1, 2} | {3} - {2}), list(dict.fromkeys([2, 1, 2]))]",
    "itertools": "from itertools import chain, groupby, takewhile, count\n"
    "result = [list(chain([1], [2])), [len(list(g)) for _, g in groupby([1, 1, 2])], "
    "list(takewhile(lambda i: i < 2, count()))]",
}


@pytest.mark.parametrize("name", IDIOMS)
def test_an_idiom_does_here_what_it_does_in_python(sandbox: Sandbox, name: str) -> None:
    sent: list[Effect] = []

    def get(id: str) -> object:  # noqa: A002 - the tool's argument
        return copy.deepcopy(WORLD["get"][f'{{"id":"{id}"}}'])

    def send(to: str, template: str = "t") -> None:
        sent.append(Effect(tool="send", arguments={"to": to, "template": template}))

    names: dict[str, object] = {"get": get, "send": send}
    exec(IDIOMS[name], names)  # noqa: S102 - the table's own programs
    outcome = run(sandbox, IDIOMS[name])

    assert isinstance(outcome, Behaviour), outcome
    assert outcome.effects == tuple(sent)
    assert same(outcome.result, names["result"])
