"""What a program finds around it, and what it is told of the rest."""

import builtins
import math

import numpy as np
import pytest

from rewardsmith.sandbox.inside.namespace import Printer, fresh, numpy_namespace


def _run(source: str, printer: Printer | None = None) -> dict[str, object]:
    names = fresh(printer or Printer())
    exec(source, names)  # noqa: S102 - the names are what is tested
    return names


def test_the_usual_functions_are_numpys_own() -> None:
    namespace = numpy_namespace()
    for name in ("exp", "where", "clip", "linalg", "fft", "pi", "inf", "float64", "newaxis"):
        assert getattr(namespace, name) is getattr(np, name)


@pytest.mark.parametrize("name", ["load", "save", "memmap", "fromfile", "genfromtxt", "loadtxt"])
def test_files_are_out_of_reach_and_it_is_said(name: str) -> None:
    with pytest.raises(AttributeError, match="cannot read or write files"):
        getattr(numpy_namespace(), name)


def test_randomness_is_out_of_reach_and_it_is_said() -> None:
    with pytest.raises(AttributeError, match="pure function of the step"):
        _run("np.random.rand()")


def test_a_function_that_does_not_exist_is_named() -> None:
    with pytest.raises(AttributeError, match="np has no function 'softplus'"):
        _run("np.softplus(1)")


def test_what_one_program_puts_into_np_no_other_program_finds() -> None:
    _run("np.exp = None")
    assert _run("x = np.exp(0.0)")["x"] == 1.0
    assert np.exp(0.0) == 1.0


@pytest.mark.parametrize(
    "line",
    [
        "import numpy as np",
        "import numpy",
        "import math",
        "from math import sqrt",
        "from typing import Dict, Tuple",
        "from dataclasses import dataclass",
        "from numpy import exp, pi",
    ],
)
def test_imports_that_models_write_from_habit_work(line: str) -> None:
    _run(line)


@pytest.mark.parametrize("name", ["os", "sys", "torch", "random", "time", "builtins", "ctypes"])
def test_other_modules_are_refused_with_those_that_exist(name: str) -> None:
    with pytest.raises(ImportError, match="dataclasses, math, numpy, typing"):
        _run(f"import {name}")


def test_a_part_of_numpy_that_is_not_loaded_is_not_loaded_for_a_program() -> None:
    with pytest.raises(ImportError):
        _run("import numpy._nothing_of_the_kind")


@pytest.mark.parametrize(
    "name", ["open", "exec", "eval", "compile", "input", "globals", "vars", "getattr", "memoryview"]
)
def test_builtins_that_reach_outside_are_not_there(name: str) -> None:
    with pytest.raises(NameError):
        _run(f"{name}")


def test_every_error_of_python_can_be_raised_and_caught() -> None:
    names = _run(
        "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    x = type(error)\n"
        "try:\n    raise ValueError('a')\nexcept (KeyError, ValueError):\n    y = 2\n"
    )
    assert names["x"] is ZeroDivisionError
    assert names["y"] == 2


def test_classes_comprehensions_and_closures_work() -> None:
    names = _run(
        "@staticmethod\ndef twice(x):\n    return 2 * x\n"
        "class Weights:\n    up = 2.0\n    def __init__(self):\n        self.k = [i for i in "
        "range(3)]\n"
        "w = Weights()\nz = sum(map(lambda k: k * w.up, w.k)) + max(1, 2) + math.pi\n"
    )
    assert names["z"] == pytest.approx(8.0 + math.pi)


def test_prints_are_collected_as_print_would_write_them() -> None:
    printer = Printer()
    _run("print('a', 1, sep='-', end='!')\nprint()\nprint([1], flush=True)", printer)
    assert printer.take() == "a-1!\n[1]\n"
    assert printer.take() == ""


def test_prints_have_an_end() -> None:
    printer = Printer()
    _run("for i in range(100000): print('x' * 1000)", printer)
    assert len(printer.take()) == 2048


def test_the_real_builtins_stay_as_they_were() -> None:
    before = dict(vars(builtins))
    _run("__builtins__['abs'] = None\nprint = None")
    assert dict(vars(builtins)) == before
    assert _run("x = abs(-1)")["x"] == 1
