# ------------------------------------------------------------------------------
# Reward for: hop forward as fast as possible without falling
# Environment: Hopper-v5
# Run hopper-manual-4, candidate g0.1, program c6208ab078b6, 2026-11-23
#
# Fitness [m]: metres travelled forward until the fall or the time limit of 8 s; the position is hidden, but the sum of forward_velocity * dt is the same number
#   selection seeds              17.90 (n = 1)
#   designed reward, held-out seeds  17.6 [14.0, 21.2] (n = 3); 401,408 steps per seed
#   human reward, held-out seeds     15.5 [6.1, 24.9] (n = 3); 401,408 steps per seed
#   random policy, held-out seeds    −0.026 [−0.072, 0.019] (n = 3); 0 steps per seed
#   mean [95 % t-interval over seeds]; higher is better
#
# In your own training, with the worker that confines it:
#   import gymnasium as gym
#   from rewardsmith.envs.registry import find_task
#   from rewardsmith.runs.training.reward_wrapper import RewardWrapper
#   env = RewardWrapper(gym.make("Hopper-v5"), "reward.py", find_task("Hopper-v5"))
# By itself: call compute_reward with arrays of leading dimension N (environments):
#   torso_pitch (N) [rad]: lean of the torso, 0 upright, positive forward
#   forward_velocity (N) [m/s]: mean velocity of the torso along x over the step, positive forward; 0 right after…
#   prev_<name> is the value before the action; all others are values after it.
# ------------------------------------------------------------------------------
import numpy as np

def compute_reward(forward_velocity, torso_pitch):
    """Linear speed, a flat wage, a light charge for lean."""
    run = 1.3 * np.clip(forward_velocity, -1.0, 5.0)
    wage = np.ones_like(forward_velocity)
    lean = -0.2 * np.square(torso_pitch / 0.2)
    return run + wage + lean, {"run": run, "wage": wage, "lean": lean}
