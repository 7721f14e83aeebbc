import html
import re

from hypothesis import given
from hypothesis import strategies as st

from rewardsmith.runs.report_code import changed_lines, code_lines, difference, highlighted
from rewardsmith.runs.report_words import visible


def plain(markup: str) -> str:
    return html.unescape(re.sub(r"</?span[^>]*>", "", markup))


@given(st.text(alphabet=st.sampled_from(list("ab 1'\"#\\\n<>&def()\u202e")), max_size=80))
def test_highlighting_changes_no_character_of_any_text(source: str) -> None:
    assert plain(str(highlighted(source))) == visible(source)


@given(st.text(alphabet=st.sampled_from(list("ab 1'\"#\n<")), max_size=80))
def test_every_line_closes_what_it_opens(source: str) -> None:
    for line in code_lines(source):
        assert line.count("<span") == line.count("</span>")


def test_words_are_told_apart() -> None:
    shown = str(highlighted("def f(x):  # why\n    return 'a' + 1.5"))
    assert '<span class="k">def</span> <span class="f">f</span>(x)' in shown
    assert '<span class="c"># why</span>' in shown
    assert '<span class="s">&#39;a&#39;</span>' in shown
    assert '<span class="n">1.5</span>' in shown


def test_code_cannot_leave_its_element() -> None:
    assert "<script>" not in highlighted('"""</pre><script>"""')
    assert "<b>" not in "".join(code_lines("x <b> y"))


def test_a_difference_has_kinds_and_counts() -> None:
    diff = difference("a = 1\nb = 2\n", "a = 1\nb = 3\nc = 4\n")
    assert [line.kind for line in diff] == ["hunk", "same", "del", "add", "add"]
    assert changed_lines(diff) == (2, 1)
    assert plain(str(diff[3].html)) == "b = 3"


def test_equal_programs_have_no_difference() -> None:
    assert difference("a = 1\n", "a = 1\n") == ()


def test_a_hidden_character_is_a_difference_that_can_be_seen() -> None:
    diff = difference("x = 1", "x = 1\u200b")
    assert "⟦U+200B⟧" in plain(str(diff[-1].html))


def test_long_programs_show_only_what_changed_around_it() -> None:
    old = "\n".join(f"a{k} = {k}" for k in range(100))
    diff = difference(old, old.replace("a50 = 50", "a50 = 51"))
    assert len(diff) == 1 + 3 + 2 + 3
