"""What is said of a farmed reward: who is paid for what, and how to mend it."""

from collections.abc import Sequence
from typing import Any, Literal

from rewardsmith.agent.evidence.rivalry import Case, Rival
from rewardsmith.agent.evidence.thresholds import Thresholds
from rewardsmith.runs.records import Evidence

Verdict = Literal["pass", "warn", "fail"]
STILL = "standing still"
_DONE = {
    STILL: "standing still",
    "oscillating": "going back and forth",
    "hovering": "hovering short of the goal",
    "ending": "ending the episode early by failing",
    "lasting": "going on without ever finishing",
}
_MEND = {
    STILL: "Pay the change of what it measures (value - prev_value) instead of the value, "
    "or make it small beside what progress pays.",
    "oscillating": "Do not clip progress at zero: pay prev_value - value both ways, or keep the "
    "best value so far in memory and pay only what is gained on it.",
    "hovering": "Pay the change (value - prev_value), or a bonus at success that is worth more "
    "than staying near it for the rest of the episode.",
    "ending": "Make living worth more than failing: lift the reward of a step above zero, or take "
    "more away when the episode ends by failing.",
    "lasting": "Pay the change (value - prev_value), or a bonus at success that is worth more than "
    "the rest of the episode.",
}
_CYCLE = "Pay differences, which add up to nothing on a way that leads back, or clip what is paid."
_SHOWN = 8


def told(name: str, case: Case, rivals: Sequence[Rival], thresholds: Thresholds) -> Evidence:
    """Returns the evidence of all rivals of good behaviour: the worst of them decides."""
    if not rivals:
        text = "No stored behaviour shows what farming would pay."
        return Evidence(probe=name, verdict="pass", text=text)
    judged = [(_verdict(case, rival, thresholds), rival) for rival in rivals]
    verdict, worst = min(judged, key=lambda item: _rank(*item))
    score = min(rival.advantage for rival in rivals)
    return Evidence(
        probe=name,
        verdict=verdict,
        score=score,
        facts=_facts(case, rivals),
        text=_passed(case, worst) if verdict == "pass" else _text(case, worst),
    )


def _rank(verdict: Verdict, rival: Rival) -> tuple[int, bool, float]:
    """Orders the worst first; of those that fail, what has a name says more than a cycle."""
    order = {"fail": 0, "warn": 1, "pass": 2}
    return order[verdict], verdict != "pass" and rival.kind not in _DONE, rival.advantage


def _verdict(case: Case, rival: Rival, thresholds: Thresholds) -> Verdict:
    if case.goal.succeeded or rival.kind in {"ending", "lasting"}:
        if rival.excess <= thresholds.farming_margin:
            return "pass"
        return "fail" if rival.advantage < -thresholds.farming_sure else "warn"
    if rival.gain < thresholds.farming_least or rival.share <= thresholds.farming_warn:
        return "pass"
    # Progress that no stored policy has made yet may pay more, unless no step of any pays more.
    sure = rival.share > thresholds.farming_fail or rival.peak_share > thresholds.farming_peak
    return "fail" if sure else "warn"


def _facts(case: Case, rivals: Sequence[Rival]) -> dict[str, Any]:
    best: dict[str, Rival] = {}
    for rival in sorted(rivals, key=lambda rival: rival.advantage):
        best.setdefault(rival.kind, rival)
    return {
        "against": "successes" if case.goal.succeeded else "fittest stretches",
        "rivals": {
            kind: {
                "pay": rival.pay,
                "good_pay": rival.good_pay,
                "advantage": rival.advantage,
                "share": rival.share,
                "excess": rival.excess,
                "component": rival.component,
            }
            for kind, rival in list(best.items())[:_SHOWN]
        },
        "examples": len(case.goal.whole),
        "remaining": case.goal.remaining,
    }


def _passed(case: Case, worst: Rival) -> str:
    return (
        f"{_good(case)} is paid {worst.good_pay:.4g}, the best of the rest, {_done(worst)}, "
        f"{worst.pay:.4g}."
    )


def _text(case: Case, worst: Rival) -> str:
    """Says who pays for what, what success is paid, and how to mend it."""
    payer = f"`{worst.component}` pays for it most. " if worst.component else ""
    return (
        f"{_done(worst).capitalize()} is paid {worst.pay:.4g} (discounted, up to the time limit), "
        f"{_good(case).lower()} {worst.good_pay:.4g}. {payer}{_MEND.get(worst.kind, _CYCLE)}"
    )


def _done(rival: Rival) -> str:
    return _DONE.get(rival.kind, f"repeating a stored {rival.kind} steps")


def _good(case: Case) -> str:
    return "Success" if case.goal.succeeded else "What is fittest so far, kept up,"
