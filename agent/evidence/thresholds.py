"""From where on a probe warns or fails: every number in one place, to be calibrated together."""

from dataclasses import dataclass

from rewardsmith.prompts.facts import DOMINATES, NEGLIGIBLE


@dataclass(frozen=True)
class Thresholds:
    """What separates pass, warn and fail; shares are in [0, 1]."""

    # Health. What a prompt says of a training's components, a probe says of them on a bank.
    dominates: float = DOMINATES
    negligible: float = NEGLIGIBLE
    pinned: float = 0.95  # share of steps at an end of the range: the slope is elsewhere
    pinned_width: float = 1e-3  # of the range; a tanh is there from 4 of its widths on
    least_std: float = 1e-4  # the normaliser of returns adds 1e-8 to their variance, no less helps
    most_std: float = 1e4  # values of this size lose the small terms in float32

    # Ranking (CARD: no training where fewer than half of the pairs are in order).
    ranking_fail: float = 0.5
    ranking_warn: float = 0.6  # of 100 pairs 60 are in order by luck once in 40 times
    least_episodes: int = 10  # one good among at least nine bad, as RewardMATH ranks
    least_bad: int = 9
    length_only: float = 0.98  # |Spearman| of return and length from which length decides

    # Farming: shares of pay.
    farming_margin: float = 0.05  # paid more than a success: less is the noise of a few successes
    # In standard deviations of the reward, per step. Of the calibration's rewards that were nearer
    # to zero on a grown bank, as many trained well as badly (benchmarks/calibration.py).
    farming_sure: float = 0.05
    # Where no success is stored: shares of what the fittest stretches are paid.
    farming_warn: float = 0.75
    farming_fail: float = 1.1
    farming_peak: float = 0.9  # of what the best paid steps are paid: there is nothing to gain
    farming_least: float = 0.1  # deviations per step: differences do not quite add up to nothing
    same_place: float = 0.1  # net way over way gone of steps that come back to where they began

    # Sensitivity.
    moves: float = 1e-6  # change over the reward's deviation that is no rounding
    saturated: float = 0.05  # share of edits that move the reward: fewer, and it is flat there
    nuisance: float = 0.1  # of the strongest effect: less is not worth a word
    unrelated: float = 0.1  # |Spearman| with fitness: what 100 unrelated episodes show by luck
    related: float = 0.5  # |Spearman| with fitness from which its sign is clear

    # Alarm, after training.
    alarm_level: float = 0.05  # of the one-sided tests of trends
    alarm_flat: float = 0.3  # a gain below this share of what is known to be possible is none
    alarm_rise: float = 0.1  # of the return's size, wanted where nothing is known of the possible
    alarm_leap: float = 0.25  # of the larger: the return's later half above its start
    alarm_fall: float = 0.25  # of what was gained: less is no fall

    # Distance to trained candidates. On Reacher-v5 noise of a tenth of a reward's size makes 0.11,
    # and a weight of a component raised by a fifth 0.10.
    starc_same: float = 0.05
    starc_near: float = 0.2
    starc_opposed: float = 1.6


DEFAULTS = Thresholds()
