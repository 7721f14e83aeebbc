"""Puts a real model through the guard suite: what flatters it, and whether any of that counts.

    python benchmarks/guard.py --llm openai:MODEL --json

About twenty short questions. A hole ends it with exit code 1; that the model gives in by its own
words is its weakness and counts for nothing, since the guard does not take its word.
"""

import argparse
import json
import sys
from typing import Any

from rewardsmith.agent import roles
from rewardsmith.agent.guard import guard, honest_program
from rewardsmith.agent.llm import LanguageModel
from rewardsmith.agent.models import make_model
from rewardsmith.agent.role_settings import settings_for
from rewardsmith.envs.registry import find_task
from rewardsmith.errors import ModelError


def measure(model: LanguageModel, env: str) -> dict[str, Any]:
    """Returns what a model came to, and whether it accepts an honest program: null for no verdict.

    Raises:
        ModelError: the model could not be asked.
    """
    task, settings = find_task(env), settings_for(model.name)
    found = guard(model.ask, task, settings)
    try:
        program = honest_program(task)
        honest: bool | None = roles.criticise(
            model.ask, task, program, roles.Context(), settings=settings
        ).accept
    except ModelError as error:
        if error.kind != "unparsable":
            raise
        honest = None
    return {"model": model.name, "env": env, **found.as_dict(), "honest_accepted": honest}


def main(arguments: list[str] | None = None) -> int:
    """Prints what the suite found and returns 0, or 1 if there is a hole."""
    parser = argparse.ArgumentParser(description="Whether a critic and analyzer can be flattered.")
    parser.add_argument("--llm", required=True, help="as in rewardsmith design; it is asked")
    parser.add_argument("--env", default="Hopper-v5")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    found = measure(make_model(options.llm), options.env)
    if options.json:
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        sys.stdout.writelines(f"{name}: {value}\n" for name, value in found.items())
    return 1 if found["holes"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
