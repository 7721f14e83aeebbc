"""What a run is about to cost, before it starts."""

import os
from dataclasses import dataclass
from typing import Any

from rewardsmith.agent.config import RunConfig
from rewardsmith.runs.store import RunStore

# Typical for eight MuJoCo environments on one laptop core, measured by training_speed.json and
# throughput.json of benchmarks/results. Only an estimate: the live view corrects it.
STEPS_PER_CORE_S = 1_500
FAST_STEPS_PER_CORE_S = 10_000  # of the trainer "fast"
TOKENS_PER_CALL = (1_600, 700)  # prompt and completion, typical of the templates


@dataclass(frozen=True)
class Estimate:
    """Trainings, env steps, model calls and hours of a whole run at its longest."""

    trainings: int
    env_steps: int
    model_calls: int
    tokens: int
    training_s: float
    usd: float | None = None  # None: a price is not known

    def as_dict(self) -> dict[str, Any]:
        """Returns the numbers by name."""
        return dict(vars(self))

    def as_text(self) -> str:
        """Returns one line for a person."""
        return (
            f"at most {self.trainings} trainings, {self.env_steps / 1e6:.2f} M env steps, "
            f"about {_duration(self.training_s)} of training; "
            f"about {self.model_calls} model calls, {self.tokens / 1000:.0f} k tokens, "
            + ("price unknown" if self.usd is None else f"${self.usd:.2f}")
        )


def estimate(config: RunConfig, store: RunStore, *, workers: int | None = None) -> Estimate:
    """Returns what the run will take if every candidate trains and every answer is mended once."""
    from rewardsmith.agent.choices import critic_rounds, model_spec, recipe_of, worker_count
    from rewardsmith.agent.interview import MOST_ROUNDS
    from rewardsmith.agent.role_settings import settings_for

    recipe = recipe_of(store.task(), config)
    steps = recipe.steps
    speed = FAST_STEPS_PER_CORE_S if recipe.trainer == "fast" else STEPS_PER_CORE_S
    asked = min(MOST_ROUNDS, settings_for(model_spec(config, "analyzer")).questions)
    again = min(config.recheck_candidates, config.candidates)
    rechecks = config.generations * config.recheck_seeds * again
    searched = config.candidates * config.generations * config.seeds
    arms = 2 if store.task().human_reward else 1
    trainings = searched + rechecks + arms * config.final_seeds
    per_candidate = 1 + config.repair_turns + 2 * critic_rounds(config)
    calls = config.candidates * config.generations * per_candidate
    calls += config.generations * (1 + asked)
    return Estimate(
        trainings=trainings,
        env_steps=trainings * steps,
        model_calls=calls,
        tokens=calls * sum(TOKENS_PER_CALL),
        usd=_usd(config, calls),
        training_s=trainings * steps / speed / (workers or worker_count(config)),
    )


def _usd(config: RunConfig, calls: int) -> float | None:
    """Returns the price of all calls if the designer's model answered them."""
    from rewardsmith.agent.choices import model_spec
    from rewardsmith.agent.prices import find_price

    spec = model_spec(config, "designer")
    # The table speaks of the providers' own endpoints; anybody's may serve a model of that name.
    own_endpoint = spec.startswith("openai") and "OPENAI_BASE_URL" in os.environ
    price = find_price(spec, config.prices, shipped=not own_endpoint)
    if price is None:
        return None
    prompt, answer = TOKENS_PER_CALL
    return calls * (prompt * price.input + answer * price.output) / 1e6


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
