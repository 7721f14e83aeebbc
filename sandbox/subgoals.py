"""Subgoals that a program declares: ordered yes-or-no questions about one state.

Beside ``compute_reward`` a program may hold ``def subgoals(<card fields>)`` that returns a dict of
boolean arrays (N,), first step first: ``{"up": height > 1.0, "there": distance < 0.1}``. It is
generated code like the rest and runs in a worker alone. The worker needs nothing new for it: the
text is turned into a program whose components are the subgoals, so every rule, wall and audit of
rewards holds for them, too.

After CALM (Pignatelli et al. 2024), where a language model names subgoals and judges transitions.
"""

import ast

import numpy as np

from rewardsmith.envs.step import Steps
from rewardsmith.envs.task import EnvSpec, FloatArray
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.policy import lines_of
from rewardsmith.sandbox.program import FUNCTION, parse
from rewardsmith.sandbox.reward import RewardBatch, RewardSource

SUBGOALS = "subgoals"
MOST = 8
_FORM = f'`def {SUBGOALS}(<fields>): return {{"first": condition, "second": condition}}`'


def declares(source: str) -> bool:
    """Whether a program holds a function for subgoals at its top level."""
    parsed = parse(source)
    return not isinstance(parsed, Failure) and bool(_functions(parsed.tree))


def as_program(source: str, spec: EnvSpec) -> str | Failure:
    """Returns a program whose components are the subgoals of ``source``; lines keep their numbers.

    The reward function gives way to one that calls ``subgoals``. A failure says what is wrong with
    the declaration: subgoals are of one state, so they take fields of the card and nothing else.
    """
    parsed = parse(source)
    if isinstance(parsed, Failure):
        return parsed
    functions = _functions(parsed.tree)
    if len(functions) != 1:
        found = f"There are {len(functions)} functions {SUBGOALS}; keep one"
        text = f"There is no function {SUBGOALS}" if not functions else found
        line = functions[1].lineno if functions else None
        return Failure(kind="rejected", text=f"{text}. Write {_FORM}.", line=line)
    parameters = _parameters(functions[0], spec)
    if isinstance(parameters, Failure):
        return parameters
    reward, lines = parsed.function, lines_of(source)
    first = min([reward.lineno, *(item.lineno for item in reward.decorator_list)]) - 1
    stop = reward.end_lineno or reward.lineno
    lines[first:stop] = [""] * (stop - first)
    given = ", ".join(f"{name}={name}" for name in parameters)
    text = "\n".join(lines).rstrip("\n")
    call = f"def {FUNCTION}({', '.join(parameters)}):\n    return 0.0, {SUBGOALS}({given})"
    return f"{text}\n\n\n{call}\n"


def _functions(tree: ast.Module) -> list[ast.FunctionDef]:
    return [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == SUBGOALS]


def _parameters(function: ast.FunctionDef, spec: EnvSpec) -> list[str] | Failure:
    arguments, fields = function.args, [field.name for field in spec.fields]
    names = [item.arg for item in (*arguments.args, *arguments.kwonlyargs)]
    odd = [name for name in names if name not in fields]
    if arguments.posonlyargs or arguments.vararg or arguments.kwarg or odd or not names:
        found = f"`{odd[0]}` is none of them" if odd else "none is named plainly"
        text = f"{SUBGOALS} speaks of one state: its parameters are fields, and {found}."
        return Failure(
            kind="rejected", text=f"{text} The fields: {', '.join(fields)}.", line=function.lineno
        )
    return names


class SubgoalSource:
    """The subgoals of a program as a reward source: each a component, 1 where it holds, else 0.

    Args:
        source: rewards by the program that `as_program` returned.
    """

    def __init__(self, source: RewardSource) -> None:
        self._source = source

    def rewards(self, steps: Steps, *, carry: bool = False) -> RewardBatch | Failure:
        """Returns which subgoals hold after each of ``steps``, or what is wrong with them."""
        del carry  # a subgoal is of one state: it remembers nothing
        batch = self._source.rewards(steps)
        if isinstance(batch, Failure):
            return of_subgoals(batch)
        return batch if steps.rows == 0 else _believed(batch)

    def close(self) -> None:
        """Closes the worker."""
        self._source.close()


def _believed(batch: RewardBatch) -> RewardBatch | Failure:
    names = list(batch.components)
    if not 1 <= len(names) <= MOST:
        text = f"{SUBGOALS} returns {len(names)} of them; 1 to {MOST} are wanted, in their order."
        return Failure(kind="bad_output", text=text)
    for name, column in batch.components.items():
        if not ((column == 0) | (column == 1)).all():
            odd = column[(column != 0) & (column != 1)][0]
            text = f"The subgoal {name!r} is {odd:.6g}; a condition is wanted, such as x > 1.0."
            return Failure(kind="bad_output", text=text)
    return batch


def of_subgoals(failure: Failure) -> Failure:
    """Returns the failure of a program by `as_program`, in words for its author."""
    text = failure.text.replace(FUNCTION, SUBGOALS).replace("component", "subgoal")
    return failure.model_copy(update={"text": f"In `{SUBGOALS}`: {text}"})


def reached(goals: RewardBatch) -> FloatArray:
    """Returns the place of the furthest subgoal that holds, as a share of all, (rows,) in [0, 1].

    It is a potential of the state alone: a later subgoal stands for those before it, which need not
    hold any more (what was picked up has been put down).
    """
    held = np.stack(list(goals.components.values())) > 0
    places = np.arange(1, len(held) + 1)[:, None]
    share: FloatArray = (held * places).max(axis=0) / len(held)
    return share
