import pytest

from rewardsmith.prompts.structure import attempts, bare_body, definition, parsed, syntax_error


def text_of(text: str) -> str:
    found = definition(text, "f")
    assert found is not None
    return found.text


def test_code_that_parses_but_does_not_compile_counts_as_broken() -> None:
    assert parsed("return 1") is None
    assert parsed("x = 1") is not None


def test_deep_nesting_and_null_bytes_are_broken_not_fatal() -> None:
    assert parsed("(" * 100_000) is None
    assert parsed("x = '\x00'") is None


def test_a_syntax_error_comes_with_line_and_message() -> None:
    line, message = syntax_error("x = 1\ny = (\n")
    assert line == 2
    assert "never closed" in message


def test_sound_code_has_no_syntax_error() -> None:
    assert syntax_error("x = 1") == (None, "")


@pytest.mark.parametrize(
    "body",
    [
        "    x = [\n1,\n2,\n]\n    return x\n",
        '    """Text\nat the margin.\n    """\n    return 1\n',
        "    x = ')'  # (\n    return x\n",
        "    if a:\n        return 1\n\n    # note\n# another at the margin\n    return 2\n",
        "    x = ''\n    y = '''a ( b'''\n    return x\n",
    ],
)
def test_a_function_between_prose_is_delimited_by_its_own_structure(body: str) -> None:
    whole = f"def f(a):\n{body}"
    assert text_of(f"Here is some prose, (really.\n{whole}And more of it.") == whole


def test_a_function_without_a_returned_value_is_incomplete() -> None:
    for text, complete in (("def f():\n    pass\n", False), ("def f():\n    return 1\n", True)):
        found = definition(text, "f")
        assert found is not None
        assert found.complete is complete


def test_the_names_that_a_function_reads_from_its_module_are_known() -> None:
    found = definition(
        "def f(a):\n    b = a\n    return [K * c for c in b] + g(lambda q: q + Z)\n", "f"
    )
    assert found is not None
    assert found.uses == {"K", "Z", "g"}


def test_a_stretch_of_prose_that_happens_to_parse_binds_nothing() -> None:
    found = definition("Note: careful\nx y z\ndef f():\n    return 1\n", "f")
    assert found is not None
    assert all(not statement.binds for statement in found.around)


def test_a_text_without_the_function_has_no_definition() -> None:
    assert definition("def g():\n    return 1", "f") is None
    assert definition("f(1)", "f") is None


def test_attempts_hold_the_whole_broken_function() -> None:
    assert attempts("prose\ndef f(x:\n    return x\n", "f")[-1].startswith("def f(x:\n    return x")


def test_a_body_that_calls_the_function_is_no_body_of_it() -> None:
    assert bare_body("x = f(1)\nreturn x, {}", "f") is None
    assert bare_body("return x", "f") is None
    assert bare_body("not python", "f") is None
