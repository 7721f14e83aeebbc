import pytest

from rewardsmith.prompts.blocks import blocks, readings


def fenced(answer: str) -> list[str]:
    return [block.text.strip("\n").rstrip() for block in blocks(answer) if block.fenced]


@pytest.mark.parametrize("tag", ["", "python", "py", "Python3", "python {.numberLines}", "c++"])
def test_a_fence_may_carry_any_tag(tag: str) -> None:
    assert fenced(f"Sure!\n```{tag}\nx = 1\n```\nDone.") == ["x = 1"]


def test_a_fence_may_be_longer_or_of_tildes() -> None:
    assert fenced("````\nx = 1\n````\n~~~py\ny = 2\n~~~") == ["x = 1", "y = 2"]


def test_a_fence_may_stand_at_the_end_of_a_sentence() -> None:
    assert fenced("Here it is: ```python\nx = 1\n```") == ["x = 1"]


def test_code_on_the_fence_line_is_kept() -> None:
    assert fenced("```python def f():\n    return 1\n```") == ["def f():\n    return 1"]


def test_code_before_a_closing_fence_is_kept() -> None:
    assert fenced("```\nx = 1 ```\nafter") == ["x = 1"]


def test_a_fence_that_never_closes_runs_to_the_end_and_says_so() -> None:
    last = blocks("text\n```python\nx = 1\ny = 2")[-1]
    assert (last.text, last.fenced, last.closed) == ("x = 1\ny = 2", True, False)


def test_a_new_fence_inside_an_open_one_starts_a_new_block() -> None:
    assert fenced("```python\nx = 1\n```python\ny = 2\n```") == ["x = 1", "y = 2"]


def test_a_fence_closed_on_its_own_line_leaves_the_code_outside() -> None:
    found = blocks("```python ```\nx = 1\nreturn x, y")
    assert [(b.text.strip(), b.fenced) for b in found] == [("x = 1\nreturn x, y", False)]


def test_text_outside_fences_is_a_block_as_well() -> None:
    kinds = [(b.text.strip(), b.fenced) for b in blocks("before\n```\nx\n```\nafter")]
    assert kinds == [("before", False), ("x", True), ("after", False)]


def test_line_ends_and_invisible_characters_are_normal_afterwards() -> None:
    assert fenced("```\r\nx\u00a0=\u200b 1\r\n```") == ["x = 1"]


def test_a_plain_text_has_itself_as_first_reading() -> None:
    assert next(iter(readings("x = 1"))) == "x = 1"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (">>> x = 1\n>>> y = 2", "x = 1\ny = 2"),
        (">>> def f():\n...     return 1\n1", "def f():\n    return 1"),
        ("> x = 1\n> y = 2", "x = 1\ny = 2"),
        ("a &lt; b", "a < b"),
        ("x = \u201crun\u201d", 'x = "run"'),
        ("x = \u22121", "x = -1"),
        ("\tx = 1", "    x = 1"),
        ("y = 5 * not x\n", "y = 5 * (not x)\n"),
        ("<pre>x = 1</pre>", "\nx = 1\n"),
    ],
)
def test_each_disguise_has_a_reading_without_it(written: str, meant: str) -> None:
    assert meant in list(readings(written))


def test_no_reading_comes_twice() -> None:
    found = list(readings("x = 1\n\ty = &lt;2"))
    assert len(found) == len(set(found))
