import ast
import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardsmith.prompts.programs import LONGEST_ANSWER, extract_program

NEARBY = Path(__file__).parents[3] / "shared" / "corpus" / "llama3_answers_dev.jsonl"
CORPUS = Path(os.environ.get("REWARDSMITH_CORPUS", NEARBY))
BODY = 'return velocity, {"run": velocity}'
CODE = f"def compute_reward(velocity):\n    {BODY}\n"


def source_of(answer: str) -> str:
    found = extract_program(answer)
    assert found.source is not None, found
    assert found.cause is None
    return found.source


@pytest.mark.parametrize(
    "answer",
    [
        CODE,
        f"```python\n{CODE}```",
        f"Here you go:\n\n```\n{CODE}```\nI hope it helps.",
        f"```rust\n{CODE}```",
        f"```python\n{CODE}",
        f"Plan: run.\n\n{CODE}\nThis pays for speed.",
        f"1. The code:\n   ```python\n   def compute_reward(velocity):\n       {BODY}\n   ```",
        f"```python\nHere is the code:\n{CODE}It pays for speed.\n```",
        f"<pre><code>{CODE}</code></pre>",
        f"```python\n>>> def compute_reward(velocity):\n...     {BODY}\n```",
        f"```python def compute_reward(velocity):\n    {BODY}\n```",
    ],
)
def test_the_function_is_found_however_it_is_wrapped(answer: str) -> None:
    assert source_of(answer) == CODE


def test_a_method_of_a_class_moves_to_the_margin_and_keeps_self() -> None:
    answer = (
        "```python\nclass Env:\n    @staticmethod\n    def other():\n        pass\n\n"
        "    def compute_reward(self, velocity):\n        return velocity, {}\n```"
    )
    assert source_of(answer) == "def compute_reward(self, velocity):\n    return velocity, {}\n"


def test_an_indented_method_without_its_class_moves_to_the_margin() -> None:
    answer = (
        "```python\n# in your class\n    def compute_reward(self, v):\n        return v, {}\n```"
    )
    assert source_of(answer) == "def compute_reward(self, v):\n    return v, {}\n"


def test_tabs_mixed_with_spaces_are_read() -> None:
    answer = "```\ndef compute_reward(v):\n\tx = v\n        return x, {}\n```"
    assert len(ast.parse(source_of(answer)).body) == 1


def test_typographic_quotes_and_entities_are_read() -> None:
    source = source_of(
        "```\ndef compute_reward(v):\n    return (v &gt; 0), {\u201crun\u201d: v}\n```"
    )
    assert 'return (v > 0), {"run": v}' in source


def test_the_last_complete_block_wins() -> None:
    answer = f"```\n{CODE}```\nBetter:\n```\n{CODE.replace('velocity', 'speed')}```"
    assert "compute_reward(speed)" in source_of(answer)


def test_a_signature_shown_last_does_not_win_over_the_program() -> None:
    answer = f"```\n{CODE}```\nIts signature:\n```\ndef compute_reward(x):\n    ...\n```"
    assert source_of(answer) == CODE


def test_a_block_cut_off_at_the_end_does_not_win_over_a_complete_one() -> None:
    answer = f"```\n{CODE}```\nBetter:\n```\ndef compute_reward(x):\n    y = np.clip(x,"
    assert source_of(answer) == CODE


def test_fenced_code_wins_over_code_quoted_in_prose() -> None:
    answer = f"```\n{CODE}```\nlike\n\ndef compute_reward(z):\n    return z, {{}}\n"
    assert source_of(answer) == CODE


def test_helpers_constants_and_imports_of_the_same_block_stay_where_needed() -> None:
    answer = (
        "```python\nimport math\nimport os\nSCALE = 2.0\nUNUSED = 3\nW = {}\nW['a'] = SCALE\n\n"
        "def helper(x):\n    return x * W['a'] * math.pi\n\n"
        "def compute_reward(v):\n    return helper(v), {}\n\n"
        "print(compute_reward(1.0))\nif __name__ == '__main__':\n    v = 3\n```"
    )
    source = source_of(answer)
    kept = ("import math", "SCALE = 2.0", "W = {}", "W['a'] = SCALE", "def helper")
    assert all(part in source for part in kept)
    assert not any(part in source for part in ("import os", "UNUSED", "print", "__main__"))


def test_a_helper_of_an_earlier_block_is_kept_with_what_it_needs() -> None:
    answer = (
        "First:\n```python\nK = 3.0\ndef helper(x):\n    return K * x\n```\nthen:\n"
        "```python\ndef compute_reward(v):\n    return helper(v), {}\n```"
    )
    source = source_of(answer)
    assert source.index("K = 3.0") < source.index("def helper") < source.index("def compute_reward")


def test_an_earlier_version_of_the_function_is_not_taken_along() -> None:
    stub = "```\ndef compute_reward(v):\n    pass\n```\n"
    assert source_of(f"{stub}```\n{CODE}```") == CODE
    assert source_of(f"```\n{stub[4:-5]}\n\n{CODE}```") == CODE


def test_the_declaration_of_memory_is_kept() -> None:
    answer = (
        "```\nMEMORY = {'best': 0.0}\n\ndef compute_reward(v, memory):\n"
        "    memory['best'] = v\n    return v, {}\n```"
    )
    assert "MEMORY = {'best': 0.0}" in source_of(answer)


def test_comments_above_a_kept_constant_stay() -> None:
    answer = "```\n# metres\nK = 2\nprint(K)\ndef compute_reward(v):\n    return K * v, {}\n```"
    assert source_of(answer).startswith("# metres\nK = 2\n")


def test_a_bare_body_gets_its_def_line_and_says_so() -> None:
    answer = '```python ```\nrun = np.clip(velocity, 0, 1)\nreturn run, {"run": run}\n```'
    found = extract_program(answer)
    assert found.source is not None
    assert found.source.startswith("def compute_reward(velocity):\n    run = ")
    assert found.repairs == ("gave the bare body a `def` line",)


def test_a_loose_not_gets_parentheses_and_says_so() -> None:
    found = extract_program("```\ndef compute_reward(v):\n    return 5 * not v, {}\n```")
    assert found.source is not None
    assert "5 * (not v)" in found.source
    assert found.repairs == ("put parentheses round `not`",)


def test_a_repeated_parameter_is_dropped_and_said_so() -> None:
    found = extract_program(f"Code:\n```python\n{CODE.replace('(v', '(velocity, v', 1)}```")
    assert found.source == CODE
    assert found.repairs == ("dropped the repeated parameter `velocity`",)


def test_a_repeat_in_a_method_between_prose_is_dropped_too() -> None:
    answer = "So it (is:\n    def compute_reward(self, a, b, a, b):\n        return a, {}\nDone."
    found = extract_program(answer)
    assert found.source == "def compute_reward(self, a, b):\n    return a, {}\n"
    assert [line.split("`")[1] for line in found.repairs] == ["a", "b"]


def test_a_repeat_keeps_the_helpers_and_the_declaration_of_memory() -> None:
    answer = (
        "```\nMEMORY = {'best': 0.0}\nK = 2.0\ndef half(x):\n    return x / K\n\n"
        "def compute_reward(v, memory, v):\n    return half(v), {}\n```"
    )
    source = extract_program(answer).source or ""
    assert all(part in source for part in ("MEMORY =", "K = 2.0", "def half", "(v, memory):"))


def test_a_repeat_is_no_excuse_for_another_fault() -> None:
    found = extract_program("```\ndef compute_reward(a, a):\n    return a +* 2, {}\n```")
    assert (found.source, found.cause, found.repairs) == (None, "syntax", ())


def test_a_sound_program_is_never_repaired() -> None:
    assert extract_program(f"```\n{CODE}```").repairs == ()


def test_a_repeat_and_a_loose_not_are_both_put_to_rights_and_told() -> None:
    found = extract_program("```\ndef compute_reward(v, v):\n    return 5 * not v, {}\n```")
    assert found.source == "def compute_reward(v):\n    return 5 * (not v), {}\n"
    assert found.repairs == (
        "put parentheses round `not`",
        "dropped the repeated parameter `v`",
    )


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        ("", "empty"),
        ("  \n```\n```\n", "empty"),
        ("I cannot do that.", "no_code"),
        ("```python\nreward = compute_reward(x)\n```", "no_code"),
        ("```python\ndef reward(x):\n    return x, {}\n```", "other_function"),
        ("```python\ndef compute_reward(x)\n    return x, {}\n```", "syntax"),
        ("```python\ndef compute_reward(x):\n    return x +* 2, {}\n```", "syntax"),
        ("```python\ndef compute_reward(x):\n```", "syntax"),
        ("```python\ndef compute_reward(x):\n    y = np.clip(x,", "truncated"),
        ("```python\ndef compute_reward(x):\n    y = np.clip(x, 0, 1)\n", "truncated"),
        ("x" * (LONGEST_ANSWER + 1), "too_long"),
    ],
)
def test_every_miss_has_a_cause(answer: str, cause: str) -> None:
    found = extract_program(answer)
    assert (found.source, found.cause) == (None, cause)
    assert found.detail


def test_a_function_that_does_not_parse_is_never_cut_down_until_it_does() -> None:
    lines = ("def compute_reward(x):", "    run = x", "    bad = 1 if x else", "    return run, {}")
    answer = "\n".join(["```python", *lines, "```"])
    found = extract_program(answer)
    assert found.source is None
    assert found.attempt is not None
    assert "bad = 1 if x else" in found.attempt
    assert found.line == 3


def test_another_function_can_be_asked_for() -> None:
    assert extract_program(
        "```\ndef succeeded(x):\n    return x > 1\n```", function="succeeded"
    ).source


@pytest.mark.parametrize(
    "text", ["```" * 500, "def compute_reward(" * 50, "(" * 5000 + CODE, "\x00" + CODE]
)
def test_hostile_texts_do_not_crash(text: str) -> None:
    found = extract_program(text)
    assert (found.source is None) != (found.cause is None)


PIECES = st.sampled_from(
    [
        "```python\n", "```\n", "~~~\n", "``` ", CODE, "    def compute_reward(self, v):\n",
        "        return v, {}\n", "def compute_reward(v):\n", "K = 1\n", "import math\n",
        "class A:\n", "Some prose.\n", ">>> ", "\t", "    ", "'''", '"""', "(", ")", "{", "&lt;",
        "return x, {}\n",
        "\u201c", "# comment\n", "\\\n", "if x:\n", "- item\n", "not ", "\r\n", "\x0c", "$x$",
    ]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(PIECES, st.text(max_size=12)), max_size=30).map("".join))
def test_random_markdown_never_crashes_and_what_comes_out_defines_the_function(text: str) -> None:
    found = extract_program(text)
    assert (found.source is None) != (found.cause is None)
    if found.source is not None:
        tree = ast.parse(found.source)
        names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        assert "compute_reward" in names


def test_the_corpus_of_real_answers_yields_330_programs_made_of_their_own_lines() -> None:
    if not CORPUS.is_file():
        pytest.skip(f"no corpus at {CORPUS}; set REWARDSMITH_CORPUS to a file of answers")
    rows = [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]
    found = [(row["answer"], extract_program(row["answer"])) for row in rows]
    usable = [(answer, item) for answer, item in found if item.source is not None]
    assert len(usable) >= 330
    for answer, item in usable:
        assert item.source is not None
        lines = {line.strip() for line in item.source.splitlines() if line.strip()}
        assert item.repairs or lines <= {line.strip() for line in answer.splitlines()}


@pytest.mark.parametrize(
    "line",
    [
        "def compute_reward(\n",
        "def compute_reward(x):\n    y = (\n",
        "    x = x + 1\n",
        "```python\ndef compute_reward(v):\n    x = (\n```\n",
        "```",
        "    y = '''\n",
        "compute_reward ",
    ],
)
def test_a_model_that_repeats_itself_is_read_in_bounded_time(line: str) -> None:
    began_s = time.process_time()
    found = extract_program(f"def compute_reward(v):\n{line * (20_000 // len(line))}")
    assert (found.source is None) != (found.cause is None)
    assert time.process_time() - began_s < 10.0  # without bounds these take minutes


def test_the_last_of_many_drafts_counts() -> None:
    drafts = "".join(f"def compute_reward(v{n}):\n    return v{n} + (, {{}}\n" for n in range(40))
    assert extract_program(f"prose (\n{drafts}\n{CODE}\nThat (is it").source == CODE
    attempt = extract_program(drafts).attempt
    assert attempt is not None
    assert "v39" in attempt


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r", "\u2028"])
def test_every_kind_of_line_end_gives_the_same_program(ending: str) -> None:
    assert source_of(f"```python\n{CODE}```".replace("\n", ending)) == CODE


NAMES = st.lists(st.sampled_from(["velocity", "height", "action"]), min_size=1, max_size=5)


@settings(max_examples=100, deadline=None)
@given(NAMES, st.sampled_from(["", "Plan: (run.\n"]), st.sampled_from(["```", "````", "~~~"]))
def test_whatever_parameters_are_repeated_the_program_is_the_same_as_without(
    names: list[str], prose: str, fence: str
) -> None:
    def answer(taken: list[str]) -> str:
        code = f"def compute_reward({', '.join(taken)}):\n    return {names[0]}, {{}}\n"
        return f"{prose}{fence}python\n{code}{fence}\n"

    once = list(dict.fromkeys(names))
    found, wanted = extract_program(answer(names)), extract_program(answer(once))
    assert found.source == wanted.source is not None
    assert bool(found.repairs) == (once != names)


GOALS = 'def subgoals(velocity):\n    return {"fast": velocity > LIMIT}\n'


@pytest.mark.parametrize("order", [f"{CODE}\n\n{GOALS}", f"{GOALS}\n\n{CODE}"])
def test_subgoals_come_along_with_what_they_need(order: str) -> None:
    source = source_of(f"```python\nLIMIT = 2.0\nOTHER = 3.0\n\n\n{order}```")
    assert GOALS.strip() in source
    assert "LIMIT = 2.0" in source
    assert "OTHER" not in source


@pytest.mark.parametrize(
    "answer",
    [
        f"```python\n# rewardsmith: combine=sum\nimport numpy as np\n\n\n{CODE}```",
        f"```python\n{CODE}# rewardsmith: combine=sum\n```",
        "```python\ndef compute_reward(velocity):\n    # rewardsmith: combine=sum\n"
        f"    {BODY}\n```",
    ],
)
def test_the_line_that_chooses_a_shaping_comes_along_once_wherever_it_stands(answer: str) -> None:
    lines = source_of(answer).split("\n")
    assert lines.count("# rewardsmith: combine=sum") == 1
