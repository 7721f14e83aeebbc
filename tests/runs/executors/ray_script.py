"""Run by test_ray_cluster.py in a process of its own: Ray keeps threads, sockets and processes."""

import contextlib
import json
import os
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_DEDUP_LOGS"] = "0"
os.environ["SOMEBODYS_API_KEY"] = "secret"

import ray
from ray.cluster_utils import Cluster
from stack_rig import PARAMS, STACKED, lanes, rig

from rewardsmith.agent.config import RunConfig
from rewardsmith.agent.session import design
from rewardsmith.envs import toy
from rewardsmith.errors import RewardsmithError
from rewardsmith.runs.executors.ray_cluster import Ray
from rewardsmith.runs.records import Unit
from rewardsmith.runs.store import RunStore

TASK = toy.tasks()[0]
ANSWERS = """
pick: hash
designer:
{}
any:
- |
  ```json
  {{"causes": ["it is slow"], "advice": ["pay for nearness"]}}
  ```
"""
ANSWER = """- |
  ```python
  def compute_reward(distance, velocity):
      near = -{} * distance - {} * velocity**2
      return near, {{"near": near}}
  ```
"""


def decisions(run: Path) -> dict[str, Any]:
    state = RunStore.open(run).state()
    reports = [r for c in state.candidates for r in (*c.reports, *c.rechecks)]
    return {
        "best": state.best,
        "generations": [g.model_dump(mode="json") for g in state.generations],
        "proposals": [c.proposal.model_dump(mode="json") for c in state.candidates],
        "fitness": {r.unit: r.fitness for r in reports},
    }


def search(folder: Path, cluster: Any, nodes: list[Any]) -> dict[str, Any]:
    answers = "".join(ANSWER.format(a, b) for a, b in ((1.0, 0.1), (0.5, 0.0), (2.0, 0.3)))
    (folder / "answers.yaml").write_text(ANSWERS.format(answers))
    config = RunConfig(
        env="rewardsmith/Point-v0", llm=f"scripted:{folder / 'answers.yaml'}", candidates=2,
        generations=2, steps=3000, recheck_candidates=1, final_seeds=0, eval_episodes=3,
        critic_rounds=0, video=False, probes=False,
    )  # fmt: skip
    local = config.model_copy(update={"out": folder / "local"})
    design(local, view=lambda *a, **k: None)
    told: dict[str, Any] = {"again": 0, "killed": False}

    def view(kind: str, **facts: Any) -> None:
        if kind == "training" and facts.get("attempt", 1) > 1:
            told["again"] += 1

    killer = threading.Thread(target=_kill_when_busy, args=(cluster, nodes[-1], told))
    killer.start()
    away = config.model_copy(update={"out": folder / "cluster", "executor": "ray"})
    design(away, view=view)
    killer.join()
    return told | {"local": decisions(folder / "local"), "cluster": decisions(folder / "cluster")}


def _kill_when_busy(cluster: Any, node: Any, told: dict[str, Any]) -> None:
    """Kills a node, as a power cut would, while it is at a unit."""
    raylet = node.all_processes["raylet"][0].process.pid
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        time.sleep(0.05)
        workers = _children(raylet)
        if any("carry_out" in _title(pid) for pid in workers):
            for pid in (raylet, *workers):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            cluster.remove_node(node, allow_graceful=False)
            told["killed"] = True
            return


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(x) for x in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _title(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    return ""


def unit(name: str, **changes: Any) -> Unit:
    plain: dict[str, Any] = {
        "id": name, "task": TASK, "program": None, "trainer": "toy",
        "hyperparams": {"population": 4}, "seed": 1, "steps": 400, "eval_seeds": (10**9,),
        "eval_points": 1,
    }  # fmt: skip
    return Unit(**(plain | changes))


FITNESS = """
import os, pathlib, signal
KEYS = [name for name in os.environ if name.endswith("API_KEY")]
pathlib.Path({place!r}, "keys").write_text("\\n".join(KEYS))
def fitness(episode):
    tries = pathlib.Path({place!r}, "tries{name}")
    tries.write_text((tries.read_text() if tries.exists() else "") + "x")
    if len(tries.read_text()) <= {dies}:
        os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
    return 7.0
"""


def with_fitness(folder: Path, name: str, dies: int) -> Unit:
    path = folder / f"fitness{name}.py"
    path.write_text(FITNESS.format(place=str(folder), dies=dies, name=name))
    # Without a curve: the fitness is asked for once, when the policy is judged.
    return unit(name, task=replace(TASK, fitness=str(path)), eval_points=0)


def run(folder: Path, *units: Unit) -> tuple[dict[str, Any], str, int]:
    attempts = [1]

    def watch(name: str, facts: dict[str, Any]) -> None:
        attempts.append(facts["attempt"])

    found: dict[str, Any] = {}
    try:
        for done, report in Ray().run([(u, folder / u.id) for u in units], watch):
            found[done.id] = report
    except RewardsmithError as error:
        return found, f"{type(error).__name__}: {error}", max(attempts)
    return found, "", max(attempts)


def stacks(folder: Path) -> dict[str, Any]:
    """Runs the same four units in stacks, one by one, and as a stack that is lost."""

    def fitness(place: str, **options: Any) -> tuple[dict[str, Any], int]:
        work = [unit(f"s{i}", seed=i, trainer=STACKED, hyperparams=PARAMS) for i in range(4)]
        jobs = [(u, folder / place / u.id) for u in work]
        attempts: list[int] = []
        found = Ray(**options).run(jobs, lambda _, facts: attempts.append(facts["attempt"]))
        return {u.id: report.fitness for u, report in found}, max(attempts)

    told = {"stacked": fitness("stacked")[0], "lanes": lanes(folder)}
    told["alone"] = fitness("alone", stack=1)[0]
    (folder / "deadly").touch()
    found, attempts = fitness("lost", workers=1)
    (folder / "deadly").unlink()
    lost = {"lanes": lanes(folder), "attempts": attempts}
    return told | {"from a lost stack": found, "lost stack": lost}


def units(folder: Path) -> dict[str, Any]:
    once, _, tries = run(folder, with_fitness(folder, "once", 1))
    _, always, most = run(folder, with_fitness(folder, "always", 99))
    _, wrong, _ = run(folder, unit("wrong", trainer="no_such_trainer"))
    low = unit("low", stop=100, checkpoint=True)
    run(folder, low)
    ends, _, _ = run(folder, low.promoted("high"), unit("whole"))
    return {
        "dies once": {"attempts": tries, "report": "once" in once},
        "dies always": always,
        "dies always attempts": most,
        "of the caller": wrong,
        "rungs": ends["high"].fitness == ends["whole"].fitness,
        "keys": (folder / "keys").read_text().split(),
        "own fitness": once["once"].fitness,
    }


def main() -> None:
    folder = Path(sys.argv[1])
    os.environ |= rig(folder)
    cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **_QUIET})
    nodes = [cluster.add_node(num_cpus=1, **_QUIET) for _ in range(2)]
    cluster.wait_for_nodes()
    os.environ["RAY_ADDRESS"] = cluster.address
    told = (
        {"nodes": 1 + len(nodes)} | units(folder) | stacks(folder) | search(folder, cluster, nodes)
    )
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()
    ray.shutdown()
    cluster.shutdown()


_QUIET: dict[str, Any] = {"include_dashboard": False, "object_store_memory": 80 * 1024 * 1024}

if __name__ == "__main__":
    main()
