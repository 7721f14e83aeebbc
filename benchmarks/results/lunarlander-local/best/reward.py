# ------------------------------------------------------------------------------
# Reward for: land gently between the two flags
# Environment: LunarLander-v3
# Run lunarlander-local, candidate g0.0, program 5cd1da089d36, 2026-11-23
#
# Fitness [score from 0 to 1]: 1 at rest between the flags (success); 0.8 still moving there at the time limit; at rest elsewhere 0.4 to 0.7, more when nearer; otherwise up to 0.3 by how near the pad, slow and upright it ended. Crash and rest are hidden, the rest can be told from the fields
#   selection seeds              0.001725 (n = 1)
#   designed reward, held-out seeds  0.0009 [−0.0030, 0.0048] (n = 3); 100,352 steps per seed
#   human reward, held-out seeds     0.40 [−0.40, 1.21] (n = 3); 100,352 steps per seed
#   random policy, held-out seeds    0.013 [−0.001, 0.027] (n = 3); 0 steps per seed
#   mean [95 % t-interval over seeds]; higher is better
#
# In your own training, with the worker that confines it:
#   import gymnasium as gym
#   from rewardsmith.envs.registry import find_task
#   from rewardsmith.runs.training.reward_wrapper import RewardWrapper
#   env = RewardWrapper(gym.make("LunarLander-v3"), "reward.py", find_task("LunarLander-v3"))
# By itself: call compute_reward with arrays of leading dimension N (environments):
#   x (N) [m]: horizontal position, 0 above the middle of the pad, positive right; the pad reaches from -2 to 2
#   height (N) [m]: height above the pad, 0 when standing on it; about 9.4 at the start
#   x_velocity (N) [m/s]: horizontal velocity, positive right
#   vertical_velocity (N) [m/s]: vertical velocity, positive up
#   angle (N) [rad]: tilt, 0 upright, positive to the left (counter-clockwise)
#   angular_velocity (N) [rad/s]: positive turns to the left
#   left_leg_contact (N) [0 or 1]: 1 while the left leg touches the ground; may drop to 0 at rest
#   right_leg_contact (N) [0 or 1]: 1 while the right leg touches the ground; may drop to 0 at rest
#   prev_<name> is the value before the action; all others are values after it.
# ------------------------------------------------------------------------------
import numpy as np

def compute_reward(x, height, x_velocity, vertical_velocity, angle, angular_velocity, left_leg_contact, right_leg_contact, action, terminated):
    """Reward for landing gently between the flags."""
    alive = np.where(terminated, -5.0, 0.5)
    rest = np.where((x == 0) & (height == 0) & (x_velocity == 0) & (vertical_velocity == 0) & (angle == 0) & (angular_velocity == 0), 1.0, 0.0)
    hover = np.exp(-(vertical_velocity**2) / 0.01)
    progress = np.clip(10.0 * (height - 0.94), -1.0, 1.0)
    slow = np.exp(-np.sum((x_velocity**2 + vertical_velocity**2) / 0.01))
    upright = 0.3 * np.exp(-(angle**2))
    total = alive + rest + hover + progress + slow + upright
    return total, {"alive": alive, "rest": rest, "hover": hover, "progress": progress, "slow": slow, "upright": upright}
# rewardsmith: one row at a time
