"""Template name and values in, text and the template's hash out. An unknown name is an error."""

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import jinja2
from jinja2 import meta

from rewardsmith.errors import ConfigError

SUFFIX = ".jinja"
_LONGEST_QUOTE = 1200


@dataclass(frozen=True)
class Rendered:
    """One prompt text. ``template_hash`` covers the template and every partial that it includes."""

    text: str
    template: str
    template_hash: str


def template_names() -> tuple[str, ...]:
    """The names of all templates that come with the package, without suffix, sorted."""
    folder = files("rewardsmith.prompts") / "templates"
    return tuple(
        sorted(f.name.removesuffix(SUFFIX) for f in folder.iterdir() if f.name.endswith(SUFFIX))
    )


def template_hashes(*, prompts_dir: Path | None = None) -> Mapping[str, str]:
    """The hash of every template as it is in force, for the record of a run."""
    return {name: _hash(name, prompts_dir) for name in template_names()}


def check_overlay(prompts_dir: Path) -> None:
    """Checks a folder of replacements before a run starts.

    Raises:
        ConfigError: no such folder, a file that replaces nothing, or a malformed template.
    """
    if not prompts_dir.is_dir():
        raise ConfigError(f"prompts folder {prompts_dir}: no such folder")
    for path in sorted(prompts_dir.glob(f"*{SUFFIX}")):
        if path.name.removesuffix(SUFFIX) not in template_names():
            known = ", ".join(template_names())
            raise ConfigError(f"{path}: replaces no template; the names are {known}")
        try:
            _environment(prompts_dir).get_template(path.name)
        except (jinja2.TemplateSyntaxError, OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: not a valid template ({error})") from error


def render(name: str, *, prompts_dir: Path | None = None, **values: object) -> Rendered:
    """The text of template ``name`` (without suffix) with ``values``.

    Args:
        name: a template of the package; a file of the same name in ``prompts_dir`` replaces it.
        prompts_dir: folder of replacements, or None.
        values: what the template may use.

    Raises:
        ConfigError: the template does not exist, is malformed, or uses a value that is not given.
    """
    try:
        text = _environment(prompts_dir).get_template(name + SUFFIX).render(**values)
        return Rendered(_tidy(text), name, _hash(name, prompts_dir))
    except jinja2.TemplateNotFound as error:
        raise ConfigError(
            f"no template {error.name}; there are {', '.join(template_names())}"
        ) from error
    # What an expression of a template can raise: 1 + "a", a value that is no number, a cycle.
    except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
        raise ConfigError(f"template {name}: {error}") from error


def number(value: float | None, digits: int = 3) -> str:
    """A number in as few characters as its first ``digits`` figures need; a dash for None."""
    if value is None:
        return "-"
    text = f"{value:.{digits}g}"
    plain = f"{float(text):.10f}".rstrip("0").rstrip(".")
    short = plain if len(plain) <= 9 else text
    return "0" if short in {"-0", ""} else short


def quoted(text: str, limit: int = _LONGEST_QUOTE) -> str:
    """Foreign text as data: no control characters, no fence that ends a block, a limited length."""
    clean = "".join(c for c in str(text) if c in "\t\n" or not _is_hidden(c))  # raises if undefined
    clean = re.sub(r"`{3,}|~{3,}", "'''", clean).replace("<|", "< |").strip("\n")
    if len(clean) <= limit:
        return clean
    half = (limit - 20) // 2
    return f"{clean[:half]}\n[... cut ...]\n{clean[-half:]}"


def _is_hidden(character: str) -> bool:
    """Control, bidirectional, zero-width and unpaired characters, and line ends of a few only."""
    category = unicodedata.category(character)
    return category[0] == "C" or category in ("Zl", "Zp")


def cited(text: str, limit: int = _LONGEST_QUOTE) -> str:
    """Foreign text of several lines, each behind a mark: none can pass for a line of the prompt."""
    return "\n".join(f"> {line}" for line in quoted(text, limit).split("\n"))


def inline(text: str, limit: int = 200) -> str:
    """Foreign text within a line of the prompt: it stays on that line and within its marks."""
    return quoted(" ".join(str(text).split()).replace("`", "'"), limit).replace("\n", " ")


@lru_cache(maxsize=8)
def _environment(prompts_dir: Path | None) -> jinja2.Environment:
    packaged = jinja2.FunctionLoader(_packaged)
    own = [jinja2.FileSystemLoader(prompts_dir)] if prompts_dir else []
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([*own, packaged]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # prompts are plain text
    )
    environment.filters["number"] = number
    environment.filters["quoted"] = quoted
    environment.filters["cited"] = cited
    environment.filters["inline"] = inline
    return environment


def _packaged(name: str) -> str | None:
    file = files("rewardsmith.prompts") / "templates" / name
    return file.read_text(encoding="utf-8") if file.is_file() else None


def _hash(name: str, prompts_dir: Path | None) -> str:
    """Twelve hex digits over a template and all that it includes, however deep."""
    environment = _environment(prompts_dir)
    assert environment.loader is not None
    seen: dict[str, str] = {}
    todo = [name + SUFFIX]
    while todo:
        file = todo.pop()
        source, _, _ = environment.loader.get_source(environment, file)
        seen[file] = source
        found = meta.find_referenced_templates(environment.parse(source))
        todo.extend(other for other in found if other and other not in seen)
    return hashlib.sha256(repr(sorted(seen.items())).encode()).hexdigest()[:12]


def _tidy(text: str) -> str:
    """Without trailing blanks, and with at most one empty line in a row."""
    lines = "\n".join(line.rstrip() for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", lines).strip("\n") + "\n"
