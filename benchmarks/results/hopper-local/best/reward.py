# ------------------------------------------------------------------------------
# Reward for: hop forward as fast as possible without falling
# Environment: Hopper-v5
# Run hopper-local, candidate g0.2, program b84d7633fd9c, 2026-11-23
#
# Fitness [m]: metres travelled forward until the fall or the time limit of 8 s; the position is hidden, but the sum of forward_velocity * dt is the same number
#   selection seeds              0.3128 (n = 1)
#   designed reward, held-out seeds  −0.02 [−0.28, 0.24] (n = 3); 100,352 steps per seed
#   human reward, held-out seeds     4.7 [−2.8, 12.2] (n = 3); 100,352 steps per seed
#   random policy, held-out seeds    0.00 [−0.17, 0.17] (n = 3); 0 steps per seed
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
#   vertical_velocity (N) [m/s]: velocity of the torso along z, positive up
#   pitch_velocity (N) [rad/s]: angular velocity of the torso, positive tips forward
#   joint_angles (N, 3) [rad]: [hip, knee, ankle]; 0 is a straight leg, negative moves hip and knee back, positiv…
#   joint_velocities (N, 3) [rad/s]: [hip, knee, ankle]
#   foot_contact (N) [0 or 1]: 1 while the foot touches the floor
#   prev_<name> is the value before the action; all others are values after it.
# ------------------------------------------------------------------------------
import numpy as np

def compute_reward(torso_height, torso_pitch, forward_velocity, vertical_velocity, pitch_velocity, joint_angles, joint_velocities, foot_contact, action):
    """Pay for speed, keep standing, and avoid falling."""
    progress = torso_height * 0.5
    speed = np.tanh(forward_velocity / 10.0)
    balance = np.exp(-(torso_pitch**2) / 0.05)
    fall = np.where(torso_height < 0.7, -progress, 0.0)
    total = np.tanh(speed) + balance + fall
    return total, {"progress": progress, "speed": speed, "balance": balance, "fall": fall}
