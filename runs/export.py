"""What a user takes home: the reward as one file, the policy as Stable-Baselines3 loads it."""

import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rewardsmith.envs.task import Field, Task
from rewardsmith.errors import StoreError
from rewardsmith.runs.records import Candidate, RunState
from rewardsmith.runs.report_view import arm_rows, fitnesses
from rewardsmith.runs.report_words import one_line, visible, with_interval
from rewardsmith.runs.whole import write_whole
from rewardsmith.sandbox.program import with_mark

RULE = "# " + "-" * 78


@dataclass(frozen=True)
class Exported:
    """The files in ``best/``, and the lines of Python that load the policy."""

    reward: Path
    policy: tuple[Path, ...]
    readme: Path
    load_lines: str
    tensorboard: Path | None


def export_best(
    run_dir: Path, state: RunState, candidate: Candidate, task: Task, job: Path
) -> Exported:
    """Writes ``best/`` in the run's folder: ``reward.py``, the policy, ``README.md``.

    Args:
        run_dir: the run's folder.
        state: the run, for the evidence that goes with the reward.
        candidate: whose reward it is; it has a program.
        task: what it was designed for.
        job: the folder of the training whose policy is handed out.

    Raises:
        StoreError: the candidate has no program, or the folder cannot be written.
        TrainingError: the job's folder holds no policy.
    """
    if candidate.program is None:
        raise StoreError(f"{candidate.id} has no program to export; choose one that was trained")
    best = run_dir / "best"
    try:
        best.mkdir(parents=True, exist_ok=True)
        text = reward_text(state, candidate, task, date=datetime.now(UTC).date().isoformat())
        write_whole(best / "reward.py", text.encode())
        policy, lines = _policy(job, best, run_dir)
        logs = job / "tensorboard"
        tensorboard = logs if logs.is_dir() else None
        readme = readme_text(run_dir, task, lines, tensorboard=tensorboard)
        write_whole(best / "README.md", readme.encode())
    except OSError as error:
        raise StoreError(f"{best}: cannot be written ({error.strerror or error})") from error
    return Exported(best / "reward.py", policy, best / "README.md", lines, tensorboard)


def _policy(job: Path, best: Path, run_dir: Path) -> tuple[tuple[Path, ...], str]:
    """Returns the policy's files and the lines that load them, with paths as seen from the run."""
    from rewardsmith.runs.training.export import export_sb3, loading_lines
    from rewardsmith.runs.training.policy import SPEC_FILE, WEIGHTS_FILE, load_policy

    if load_policy(job).spec.kind != "linear":
        out = best / "policy.zip"
        return export_sb3(job, out), loading_lines(job, out.relative_to(run_dir))
    # The toy trainer's policy, which Stable-Baselines3 has no form for, stays plain arrays.
    copies = tuple(Path(shutil.copy(job / name, best / name)) for name in (WEIGHTS_FILE, SPEC_FILE))
    lines = (
        "from pathlib import Path\n\n"
        "from rewardsmith.runs.training.policy import load_policy\n\n"
        'act = load_policy(Path("best"))  # observation -> action'
    )
    return copies, lines


def reward_text(state: RunState, candidate: Candidate, task: Task, *, date: str) -> str:
    """Returns the program as a file of its own, with its evidence above it.

    It needs NumPy alone; ``rewardsmith check`` and ``RewardWrapper`` take it as it is. Its last
    line tells the shaping that it was trained with, where there was one.
    """
    source = visible(candidate.program or "").strip("\n")
    header = [
        RULE,
        *_about(state, candidate, task, date),
        "#",
        *_evidence(state, candidate, task),
        "#",
        *_use(task, source),
        RULE,
    ]
    if candidate.shaping is not None:
        source = with_mark(source, candidate.shaping).strip("\n")
    return "\n".join([*header, "import numpy as np", "", source, ""])


def _about(state: RunState, candidate: Candidate, task: Task, date: str) -> list[str]:
    program = f", program {candidate.program_id}" if candidate.program_id else ""
    return [
        f"# Reward for: {one_line(task.text, 400)}",
        f"# Environment: {one_line(task.env.id, 100)}",
        f"# Run {one_line(state.run, 100)}, candidate {candidate.id}{program}, {date}",
    ]


def _evidence(state: RunState, candidate: Candidate, task: Task) -> list[str]:
    unit = one_line(task.fitness_unit, 30)
    lines = [f"# Fitness [{unit}]: {one_line(task.fitness_meaning, 300)}"]
    selected = fitnesses(candidate.reports)
    if selected:
        lines.append(f"#   {'selection seeds':<28} {_counted(selected)}")
    shown = [row for row in arm_rows(state) if row.name != "best" or row.candidate == candidate.id]
    for row in shown:
        label = f"{row.label}, held-out seeds"
        lines.append(f"#   {label:<32} {_counted(row.values)}; {row.steps} steps per seed")
    return [*lines, "#   mean [95 % t-interval over seeds]; higher is better"]


def _counted(values: tuple[float, ...]) -> str:
    return f"{with_interval(values)} (n = {len(values)})"


def _use(task: Task, source: str) -> list[str]:
    env = one_line(task.env.id, 100)
    used = [f for f in task.env.fields if re.search(rf"\b(prev_)?{f.name}\b", source)]
    return [
        "# In your own training, with the worker that confines it:",
        "#   import gymnasium as gym",
        "#   from rewardsmith.envs.registry import find_task",
        "#   from rewardsmith.runs.training.reward_wrapper import RewardWrapper",
        f'#   env = RewardWrapper(gym.make("{env}"), "reward.py", find_task("{env}"))',
        "# By itself: call compute_reward with arrays of leading dimension N (environments):",
        *[_field_line(f) for f in used],
        "#   prev_<name> is the value before the action; all others are values after it.",
    ]


def _field_line(field: Field) -> str:
    shape = ", ".join(["N", *map(str, field.shape)])
    meaning = one_line(f"{field.name} ({shape}) [{field.unit}]: {field.meaning}", 110)
    return f"#   {meaning}"


def readme_text(run_dir: Path, task: Task, lines: str, *, tensorboard: Path | None) -> str:
    """Returns the words beside the files: what they are and the exact lines that load them."""
    logs = "There are no TensorBoard logs of this training."
    if tensorboard is not None:
        place = (
            tensorboard.relative_to(run_dir) if tensorboard.is_relative_to(run_dir) else tensorboard
        )
        logs = f"TensorBoard logs of its training: `tensorboard --logdir {place}`"
    return (
        f"# The best reward and its policy\n\n{one_line(task.text, 400)}\n\n"
        "- `reward.py`: the reward, with its evidence and how to use it; needs NumPy alone.\n"
        "- `policy.zip` or `policy.safetensors`: the policy of the held-out training of median "
        "fitness.\n- `policy.mp4`: an episode of it, where it could be drawn.\n\n"
        f"## Loading the policy\n\nIn the run's folder (the one above this):\n\n"
        f"```python\n{lines}\n```\n\n{logs}\n"
    )
