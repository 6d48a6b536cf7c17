"""A program is the answer's one fenced block."""

import pytest

from canary.programs.fences import MAX_SOURCE_CHARS, NoProgram, fenced_blocks, take_program


@pytest.mark.parametrize(
    ("answer", "source"),
    [
        ("```python\nx = 1\n```", "x = 1\n"),
        ("Here it is:\n\n```py\nx = 1\ny = 2\n```\nDone.", "x = 1\ny = 2\n"),
        ("```\nx = 1\n```", "x = 1\n"),
        ("~~~Python\nx = 1\n~~~~", "x = 1\n"),
        ("````python\nx = '''\n```\n'''\n````", "x = '''\n```\n'''\n"),
        ("1. Like this:\n\n   ```python\n   if x:\n       y = 1\n   ```", "if x:\n    y = 1\n"),
        ("```python\r\nx = 1\r\n```\r\n", "x = 1\n"),
        ("```python title=a\nx = 1\n```", "x = 1\n"),
        ("<think>\n```python\nx = 0\n```\n</think>\n```python\nx = 1\n```", "x = 1\n"),
        ("use `x` and then\n```python\nx = '\x0c'\n```", "x = '\x0c'\n"),
    ],
)
def test_the_block_is_taken_out(answer: str, source: str) -> None:
    assert take_program(answer) == source


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        ("", "has none"),
        ("x = 1", "has none"),
        ("`x = 1`", "has none"),
        ("```python\nx = 1\n```\n```python\ny = 1\n```", "has 2"),
        ("```python\nx = 1\n```\n```json\n{}\n```", "has 2"),
        ("```python\nx = 1", "not closed"),
        ("```json\n{}\n```", "not Python"),
        ("```python\n" + "x" * (MAX_SOURCE_CHARS + 1) + "\n```", "more than"),
        ("```python\nx = '\ud800'\n```", "Unicode"),
    ],
)
def test_what_is_not_one_block_is_no_program(answer: str, complaint: str) -> None:
    with pytest.raises(NoProgram, match=complaint):
        take_program(answer)


def test_an_answer_without_a_fence_has_no_block() -> None:
    assert fenced_blocks("Oslo is the capital of Norway. Use ``x``.") == []
