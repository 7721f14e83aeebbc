"""Whether a refusal of the text rules tells the truth, found out without the rules' own means.

The rules walk Python's syntax tree. Here the same claims are looked for with the tokenizer, the
byte code, the symbol tables, the names of a real worker and the card. No program is run.
"""

import ast
import dis
import io
import re
import symtable
import tokenize
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import CodeType

from rewardsmith.envs.task import EnvSpec
from rewardsmith.sandbox.failure import Problem
from rewardsmith.sandbox.inside.namespace import Printer, fresh, numpy_namespace

FUNCTION = "compute_reward"
_GENERATOR, _ASYNC = 0x20, 0x80 | 0x200
_WORKER = fresh(Printer())["__builtins__"]


class Facts:
    """A program as the compiler and the tokenizer see it."""

    def __init__(self, source: str, spec: EnvSpec) -> None:
        self.source, self.spec = source, spec
        self.lines = source.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self.error: Exception | None = None
        self.module: CodeType | None = None
        try:
            with warnings.catch_warnings(action="ignore"):
                self.module = compile(source, "<program>", "exec", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            self.error = error

    def codes(self) -> Iterator[CodeType]:
        """Yields the module's code and every function's."""
        todo = [self.module] if self.module else []
        while todo:
            code = todo.pop()
            yield code
            todo += [inner for inner in code.co_consts if isinstance(inner, CodeType)]

    def instructions(self) -> Iterator[dis.Instruction]:
        """Yields every instruction of the program."""
        for code in self.codes():
            yield from dis.get_instructions(code)

    def uses(self, operation: str, name: str) -> bool:
        """Whether an instruction whose name begins so has this argument."""
        found = (i for i in self.instructions() if i.opname.startswith(operation))
        return any(i.argval == name for i in found)

    def tokens(self) -> list[tokenize.TokenInfo]:
        """Every token, as far as the tokenizer comes."""
        text = io.StringIO("\n".join(self.lines) + "\n")
        found: list[tokenize.TokenInfo] = []
        with suppress(tokenize.TokenError, SyntaxError):
            found.extend(tokenize.generate_tokens(text.readline))
        return found

    def line(self, problem: Problem) -> str:
        """The text of the line that a problem names; without one, all of it."""
        return self.source if problem.line is None else self.lines[problem.line - 1]

    def functions(self) -> int:
        """How many wanted functions begin in the first column."""
        pairs = zip(self.tokens(), self.tokens()[1:], strict=False)
        return sum(
            one.string == "def" and one.start[1] == 0 and other.string == FUNCTION
            for one, other in pairs
        )

    def reward(self) -> CodeType:
        """The code of the wanted function."""
        inner = self.module.co_consts if self.module else ()
        return next(c for c in inner if isinstance(c, CodeType) and c.co_name == FUNCTION)

    def begins_with(self, problem: Problem, *words: str) -> bool:
        """Whether the line begins, in the first column, with one of these words."""
        return self.line(problem).startswith(words)


Truth = Callable[[Facts, Problem, re.Match[str]], bool]


def _is_unbound(facts: Facts, name: str) -> bool:
    """Whether some scope looks a name up outside the program, and a worker does not have it."""
    todo = [symtable.symtable(facts.source, "<program>", "exec")]
    unbound = False
    while todo:
        table = todo.pop()
        todo += table.get_children()
        if name in table.get_identifiers():
            symbol = table.lookup(name)
            if symbol.is_assigned() or symbol.is_parameter() or symbol.is_imported():
                return False
            unbound |= symbol.is_referenced()
    return unbound and name not in _WORKER


def _is_no_field(facts: Facts, _: Problem, found: re.Match[str]) -> bool:
    name = found[1]
    fields = {field.name for field in facts.spec.fields}
    offered = fields | {f"prev_{field}" for field in fields} | {"action", "terminated", "memory"}
    code = facts.reward()
    asked = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return name not in offered and any(full.startswith(name) for full in asked)


def _cannot_be_imported(facts: Facts, _: Problem, found: re.Match[str]) -> bool:
    name = found[1]
    imports = [i.argval or "." for i in facts.instructions() if i.opname == "IMPORT_NAME"]
    if not any(each.startswith(name) for each in imports):
        return False
    try:
        _WORKER["__import__"](name)
    except ImportError:
        return True
    return False


def _is_invisible(facts: Facts, problem: Problem, found: re.Match[str]) -> bool:
    character = facts.line(problem)[int(found[2]) - 1]
    named = found[1] == unicodedata.name(character, f"U+{ord(character):04X}")
    return named and not (character.isprintable() and character.isascii())


def _is_deep(facts: Facts, _: Problem, __: re.Match[str]) -> bool:
    todo = [(ast.parse(facts.source), 0)]
    while todo:
        node, depth = todo.pop()
        if depth > 99:
            return True
        todo += [(child, depth + 1) for child in ast.iter_child_nodes(node)]
    return False


def _keeps_state(facts: Facts, problem: Problem, _: re.Match[str]) -> bool:
    names = set(re.findall(r"\w+", facts.line(problem))) - {"global", "nonlocal"}
    stored = ("STORE_GLOBAL", "DELETE_GLOBAL", "STORE_DEREF", "DELETE_DEREF")
    return any(i.opname in stored and i.argval in names for i in facts.instructions())


def _calls_at_the_top(facts: Facts, _: Problem, __: re.Match[str]) -> bool:
    before = ""
    for step in dis.get_instructions(facts.module or ""):
        if step.opname == "POP_TOP" and before.startswith("CALL"):
            return True
        before = step.opname if step.opname != "CACHE" else before
    return False


def _is_endless(facts: Facts, problem: Problem, _: re.Match[str]) -> bool:
    first = facts.line(problem)
    margin = len(first) - len(first.lstrip())
    body = []
    for line in facts.lines[problem.line or 0 :]:
        if line.strip() and len(line) - len(line.lstrip()) <= margin:
            break
        body.append(line.split("#")[0])
    ways_out = re.search(r"\b(break|return|raise|yield|assert)\b", "\n".join([first, *body]))
    return re.match(r"\s*while\s*\(?(True|[1-9])\b", first) is not None and ways_out is None


def _is_changed(facts: Facts, problem: Problem, found: re.Match[str]) -> bool:
    name, code = found[1], facts.reward()
    rebound = any(i.opname == "STORE_FAST" and i.argval == name for i in dis.get_instructions(code))
    fields = {field.name: field.shape for field in facts.spec.fields}
    one = fields.get(name.removeprefix("prev_"), () if name == "terminated" else None)
    if name == "action":
        one = facts.spec.action.shape
    changed = re.search(rf"\b{name}\s*(\[|\.(sort|partition)\()", facts.line(problem))
    return not rebound and one == () and changed is not None


def _is_internal(facts: Facts, problem: Problem, found: re.Match[str]) -> bool:
    return found[1].lstrip(".").startswith("_") and found[1] in facts.line(problem)


def _is_written(facts: Facts, problem: Problem, found: re.Match[str]) -> bool:
    name, line = ast.literal_eval(found[1]), facts.line(problem)
    # In an f-string the parser says the folded name only.
    return not name.isascii() and (name in line or name in unicodedata.normalize("NFKC", line))


def _lacks_memory(facts: Facts, _: Problem, __: re.Match[str]) -> bool:
    return "memory" in facts.reward().co_varnames and not facts.uses("STORE_NAME", "MEMORY")


_TRUTHS: dict[str, tuple[str, Truth]] = {
    "too large": (
        "is larger than",
        lambda f, p, m: len(f.source.encode("utf-8", "replace")) > 65536,
    ),
    "syntax": ("is not valid Python", lambda f, p, m: isinstance(f.error, SyntaxError)),
    "too deep to read": ("too deeply to be read", lambda f, p, m: f.error is not None),
    "unreadable": ("cannot be read", lambda f, p, m: f.error is not None),
    "no such function": (
        r"no function compute_reward|compute_reward is (an async|inside)",
        lambda f, p, m: f.functions() == 0 or any(c.co_flags & _ASYNC for c in f.codes()),
    ),
    "two functions": (r"There are (\d+) functions", lambda f, p, m: f.functions() == int(m[1])),
    "* arguments": (r"takes \* or", lambda f, p, m: bool(f.reward().co_flags & 0x0C)),
    "long line": (r"the line has (\d+)", lambda f, p, m: len(f.line(p)) == int(m[1]) > 2000),
    "invisible character": (r"invisible character \((.+?)\) in column (\d+)", _is_invisible),
    "letters outside ASCII": (r"the name ('.*?') has letters outside", _is_written),
    "too deep": ("nested deeper than", _is_deep),
    "import": (r"`(.+?)` cannot be imported", _cannot_be_imported),
    "not in np": (
        r"`np\.(\w+)` is not available",
        lambda f, p, m: (
            not hasattr(numpy_namespace(), m[1])
            and re.search(rf"\.\s*{m[1]}\b", f.source) is not None
        ),
    ),
    "not a field": (r"`(.+?)` is not (?:a field of|available.*fields)", _is_no_field),
    "not in a worker": (r"`(\w+)` is not available", lambda f, p, m: _is_unbound(f, m[1])),
    "internal": (r"`(.+?)` (?:is internal|begins with an underscore)", _is_internal),
    "state between calls": ("keeps nothing between calls", _keeps_state),
    "async or yield": (
        "no async, no yield",
        lambda f, p, m: (
            bool(f.reward().co_flags & _GENERATOR) or any(c.co_flags & _ASYNC for c in f.codes())
        ),
    ),
    "call at the top": ("calls something at its top level", _calls_at_the_top),
    "loop at the top": (
        "loops do not belong",
        lambda f, p, m: f.begins_with(p, "for", "while", "async"),
    ),
    "`with` at the top": (
        "`with` does not belong",
        lambda f, p, m: f.begins_with(p, "with", "async"),
    ),
    "MEMORY missing": ("MEMORY is not declared", _lacks_memory),
    "endless loop": ("this loop has no end", _is_endless),
    "input changed": (r"`(\w+)` is an input and must not be changed", _is_changed),
}


def kind_of(problem: Problem) -> str:
    """Names the kind of a refusal; "unknown" for one that no check here is for."""
    for kind, (pattern, _) in _TRUTHS.items():
        if re.search(pattern, problem.text):
            return kind
    return "unknown"


def is_true(problem: Problem, source: str, spec: EnvSpec) -> bool:
    """Whether what a refusal says of a program is so; never where nothing here can tell."""
    for pattern, truth in _TRUTHS.values():
        found = re.search(pattern, problem.text)
        if found is not None:
            return truth(Facts(source, spec), problem, found)
    return False
