"""Designs a reward from Python: the same run as ``rewardsmith design``, and it goes on like one."""

import rewardsmith

result = rewardsmith.design(
    "reach the goal and come to rest there",
    env="rewardsmith/Point-v0",  # any built-in task, or an environment of your own
    llm="scripted",  # no model at all; "local" or "litellm:anthropic/claude-sonnet-5-5" are some
    candidates=2,
    generations=1,
    steps=2_000,
    probes=False,  # or few of such random rewards would be found worth a training
    out="results/from-python",
)
print(result.program)
print(result.report)
