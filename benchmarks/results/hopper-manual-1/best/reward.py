# ------------------------------------------------------------------------------
# Reward for: hop forward as fast as possible without falling
# Environment: Hopper-v5
# Run hopper-manual-1, candidate g0.2, program b259e06c7663, 2026-11-23
#
# Fitness [m]: metres travelled forward until the fall or the time limit of 8 s; the position is hidden, but the sum of forward_velocity * dt is the same number
#   selection seeds              15.90 (n = 1)
#   designed reward, held-out seeds  13.1 [5.7, 20.5] (n = 5); 200,704 steps per seed
#   human reward, held-out seeds     14.2 [10.5, 17.9] (n = 5); 200,704 steps per seed
#   random policy, held-out seeds    −0.013 [−0.076, 0.050] (n = 5); 0 steps per seed
#   mean [95 % t-interval over seeds]; higher is better
#
# In your own training, with the worker that confines it:
#   import gymnasium as gym
#   from rewardsmith.envs.registry import find_task
#   from rewardsmith.runs.training.reward_wrapper import RewardWrapper
#   env = RewardWrapper(gym.make("Hopper-v5"), "reward.py", find_task("Hopper-v5"))
# By itself: call compute_reward with arrays of leading dimension N (environments):
#   torso_height (N) [m]: height of the torso above the floor; 1.25 when standing
#   torso_pitch (N) [rad]: lean of the torso, 0 upright, positive forward
#   forward_velocity (N) [m/s]: mean velocity of the torso along x over the step, positive forward; 0 right after…
#   prev_<name> is the value before the action; all others are values after it.
# ------------------------------------------------------------------------------
import numpy as np

def compute_reward(forward_velocity, torso_height, torso_pitch, action, terminated):
    """Bounded speed, bounded posture, one fine for falling."""
    run = 3.0 * np.tanh(forward_velocity / 3.0)
    posture = 0.5 * np.exp(-np.square(torso_pitch / 0.12)) + 0.5 * np.clip(torso_height - 0.7, 0.0, 0.5) / 0.5
    fall = np.where(terminated, -4.0, 0.0)
    effort = -0.01 * np.sum(np.square(action), axis=-1)
    total = run + posture + fall + effort
    return total, {"run": run, "posture": posture, "fall": fall, "effort": effort}
