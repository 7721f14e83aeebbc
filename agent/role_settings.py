"""How roles speak to a model: the size of prompts and answers, and what tells samples apart."""

from dataclasses import dataclass
from pathlib import Path

from rewardsmith.prompts.questions import MOST_QUESTIONS

# Added to the prompt's end, so that K answers of a weak model are not K times the same; the first
# candidate of a generation always gets the plain prompt.
FRESH_HINTS = (
    "",
    "Use few terms: one main term and at most two small ones.",
    "Keep every term bounded with np.tanh, np.exp or np.clip.",
    "Pay for progress: how much one listed name has changed since its `prev_` value.",
    "Let the main term count only where a condition for safe behaviour holds (np.where).",
    "Shape the posture or approach that the behaviour needs before it succeeds.",
)
IMPROVE_HINTS = (
    "",
    "Change only the weights and scales of its terms.",
    "Add one term against the commonest failure.",
    "Replace its weakest term by a better one.",
    "Drop what does not help and make the rest simpler.",
    "Give its main term another shape.",
)


@dataclass(frozen=True)
class RoleSettings:
    """How roles speak to a model. ``compact`` shortens every prompt for small models."""

    prompts_dir: Path | None = None
    compact: bool = False
    examples: int = 2
    history: int = 8
    hints: bool = True
    tables: int = 4  # of episodes, for the analyzer
    questions: int = MOST_QUESTIONS  # that the analyzer may ask, 0 for none
    designer_tokens: int | None = None
    verdict_tokens: int | None = None
    temperatures: tuple[float, ...] = (0.7, 1.0, 0.8, 0.9)  # by sample; empty: the model's own
    repair_temperature: float | None = 0.4
    verdict_temperature: float | None = 0.2
    shaping: str | None = None  # as spelled, or "designer"
    subgoals: bool = False  # asked of the designer

    @property
    def told(self) -> dict[str, object]:
        """What the system prompts of designer and critic are rendered with."""
        return {"compact": self.compact, "shaping": self.shaping, "subgoals": self.subgoals}

    def hint(self, sample: int, *, improving: bool) -> str:
        """The line at the end of the prompt of one sample, empty for the first."""
        hints = IMPROVE_HINTS if improving else FRESH_HINTS
        return hints[sample % len(hints)] if self.hints else ""

    def temperature(self, sample: int) -> float | None:
        """The designer's temperature for one sample, None for the model's own."""
        given = self.temperatures
        return given[sample % len(given)] if given else None


def settings_for(model: str, *, prompts_dir: Path | None = None) -> RoleSettings:
    """Settings for a model as in ``--llm``: the local one gets short prompts and hard limits."""
    if model.split(":", 1)[0] != "local":
        return RoleSettings(prompts_dir)
    return RoleSettings(
        prompts_dir,
        compact=True,
        examples=2,
        history=4,
        tables=2,
        questions=0,
        designer_tokens=900,
        verdict_tokens=450,
        temperatures=(0.3, 0.8, 0.6, 0.7),
        repair_temperature=0.5,
    )


DEFAULT = RoleSettings()
