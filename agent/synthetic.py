"""The synthetic proposer: reward terms drawn from a small grammar. Not a language model.

It reads the names in a prompt's environment card, and nothing else of it: for demonstrations and
tests of the whole stack without a model, and as a control arm that any model should beat. What it
says is always marked as its own.
"""

import hashlib
import json
import random
import re
from dataclasses import dataclass

from rewardsmith.agent.chat_format import messages_of
from rewardsmith.agent.llm import Reply, Request, Usage

_FIELD = re.compile(r"^- `([a-z]\w*)` \(N((?:, ?\d+)*),?\)", re.MULTILINE)
_SPEED = ("speed", "velocity", "progress")
_NOT_TERMS = frozenset({"action", "terminated", "memory"})


@dataclass(frozen=True)
class Term:
    """One component: its name, what it needs, and the expression of shape (N,)."""

    name: str
    fields: tuple[str, ...]
    expression: str


class SyntheticModel:
    """Draws a reward for each question; the same question gets the same answer."""

    def __init__(self, seed: int = 0) -> None:
        """Takes a seed: another seed is another proposer."""
        self._seed = seed

    @property
    def name(self) -> str:
        """Returns ``scripted``."""
        return "scripted"

    def ask(self, request: Request) -> Reply:
        """Returns a drawn program for the designer, fixed words for the other roles."""
        text = {"designer": self._program, "critic": _verdict, "analyzer": _analysis}[request.role](
            request
        )
        return Reply(text=text, model=self.name, usage=Usage(cost_usd=0.0))

    def _program(self, request: Request) -> str:
        generator = random.Random(_digest(request, self._seed))
        told = [m.content for m in request.messages if m.role == "user"]
        fields = fields_in(told[-1])  # those before are worked examples, with other cards
        terms = draw_terms(fields, generator)
        return f"A draw from a grammar, made by no language model.\n\n{program(terms)}"


def fields_in(prompt: str) -> dict[str, int]:
    """Names of the card in a prompt, each with its number of dimensions beside N."""
    found = _FIELD.findall(prompt)
    return {name: shape.count(",") for name, shape in found if name not in _NOT_TERMS}


def draw_terms(fields: dict[str, int], generator: random.Random) -> tuple[Term, ...]:
    """One to three terms: speed-like fields are paid for more often, effort is charged mostly."""
    names = sorted(fields)
    fast = [name for name in names if any(word in name for word in _SPEED)]
    terms: dict[str, Term] = {}
    if names:
        pool = fast if fast and generator.random() < 0.7 else names
        term = _term(generator.choice(pool), fields, generator, sign=1)
        terms[term.name] = term
        if generator.random() < 0.5:
            term = _term(generator.choice(names), fields, generator, sign=-1)
            terms.setdefault(term.name, term)
    if not terms or generator.random() < 0.7:
        weight = generator.choice((0.001, 0.01, 0.05))
        effort = f"-{weight} * np.sum(action.reshape(len(action), -1) ** 2, axis=-1)"
        terms["effort"] = Term("effort", ("action",), effort)
    return tuple(terms.values())


def program(terms: tuple[Term, ...]) -> str:
    """The terms as a Markdown block with a reward program."""
    names = sorted({name for term in terms for name in term.fields})
    lines = [f"def compute_reward({', '.join(names)}):"]
    lines.append('    """Drawn from a grammar."""')
    lines += [f"    {term.name} = {term.expression}" for term in terms]
    total = " + ".join(term.name for term in terms)
    components = ", ".join(f'"{term.name}": {term.name}' for term in terms)
    lines.append(f"    return {total}, {{{components}}}")
    return "```python\n" + "\n".join(lines) + "\n```\n"


def _term(name: str, fields: dict[str, int], generator: random.Random, *, sign: int) -> Term:
    value = name if fields[name] == 0 else f"np.mean({name}.reshape(len({name}), -1), axis=-1)"
    low, high = generator.choice(((-1.0, 1.0), (0.0, 1.0), (0.0, 3.0), (-5.0, 5.0)))
    weight = sign * round(10 ** generator.uniform(-1.0, 0.0), 2)  # few draws are alike
    shapes = (
        f"{weight} * np.clip({value}, {low}, {high})",
        f"{weight} * np.tanh({value})",
        f"{abs(weight)} * np.exp(-({value}) ** 2)" if sign > 0 else f"{weight} * np.abs({value})",
    )
    stem = re.sub(r"[^a-z0-9_]", "_", name.lower())[:24]
    return Term(f"{'pay' if sign > 0 else 'fine'}_{stem}", (name,), generator.choice(shapes))


def _verdict(request: Request) -> str:
    del request
    said = {
        "analysis": "The synthetic proposer does not review; it accepts every program.",
        "verdict": "accept",
        "remarks": [],
    }
    return f"```json\n{json.dumps(said)}\n```\n"


def _analysis(request: Request) -> str:
    del request
    said = {"causes": ["The synthetic proposer does not analyse."], "advice": ["Draw again."]}
    return f"```json\n{json.dumps(said)}\n```\n"


def _digest(request: Request, seed: int) -> str:
    asked = json.dumps([seed, request.role, messages_of(request), request.sample])
    return hashlib.sha256(asked.encode()).hexdigest()
