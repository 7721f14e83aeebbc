"""Steps EnvPool for as long as each line of standard input says; answers steps and CPU seconds.

Started by ``throughput_stepping.py`` under a Python that has envpool, which needs none of the rest.
"""

import sys
import time

import envpool
import numpy as np


def main() -> None:
    """Serves until standard input ends."""
    env_id, count, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    pool = envpool.make(env_id, env_type="gymnasium", num_envs=count, num_threads=threads)
    pool.reset()
    space, rng = pool.action_space, np.random.default_rng(0)
    size = (count, *space.shape)
    actions = [rng.uniform(space.low, space.high, size).astype(space.dtype) for _ in range(50)]
    taken = 0
    for line in sys.stdin:
        cpu, end, done = time.process_time(), time.perf_counter() + float(line), 0
        while time.perf_counter() < end:
            pool.step(actions[taken % len(actions)])
            taken += 1
            done += count
        print(done, time.process_time() - cpu, flush=True)


if __name__ == "__main__":
    main()
