"""One update of PPO as one program of JAX: all epochs and minibatches of a rollout."""

from dataclasses import dataclass
from functools import lru_cache
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rewardsmith.runs.training.policy import Float32Array, PolicySpec
from rewardsmith.runs.training.trainers import fast_network as network

BETAS = (0.9, 0.999)
ADAM_EPSILON = 1e-5
STATS = ("policy_gradient_loss", "value_loss", "entropy_loss", "approx_kl", "clip_fraction", "loss")


@dataclass(frozen=True)
class Rule:
    """What an update does, apart from its numbers; the names are those of the presets."""

    spec: PolicySpec
    batch_size: int
    n_epochs: int
    clip_range: float
    ent_coef: float
    vf_coef: float
    max_grad_norm: float
    normalize_advantage: bool = True
    target_kl: float | None = None


class Learner(NamedTuple):
    """Weights of one policy and Adam's moments of them, (size,) each; ``count`` of its steps."""

    weights: Any
    first: Any
    second: Any
    count: Any


class Samples(NamedTuple):
    """One rollout, M rows: what was seen and done, how likely it was, how well it went."""

    observations: Any  # (M, D) float32, normalised
    actions: Any  # (M, A) float32, or (M,) int32 where actions are discrete
    log_probs: Any  # (M,) float32, when it was done
    advantages: Any  # (M,) float32
    returns: Any  # (M,) float32


class Told(NamedTuple):
    """What an update tells of itself: rows of `STATS` (epochs, minibatches, 6), and which ran."""

    stats: Any
    ran: Any  # (epochs, minibatches) bool: False after the end by ``target_kl``


def beginner(weights: Float32Array) -> Learner:
    """Returns a learner that has not learned yet."""
    zeros = np.zeros_like(weights)
    return Learner(weights, zeros, zeros.copy(), np.int32(0))


@dataclass(frozen=True)
class Update:
    """A compiled update; ``compile_s`` is what that took, 0 where it was at hand."""

    program: Any
    compile_s: float

    def __call__(
        self, learner: Learner, rate: float, samples: Samples, orders: npt.NDArray[np.int32]
    ) -> tuple[Learner, Told]:
        """Returns the learner after every epoch, and how it went; arrays of NumPy.

        Args:
            learner: before the update.
            rate: learning rate.
            samples: M rows.
            orders: (epochs, M), the rows in the order in which minibatches take them.
        """
        learned, told = self.program(learner, np.float32(rate), samples, orders)
        return Learner(*map(np.asarray, learned)), Told(*map(np.asarray, told))


@lru_cache(maxsize=16)
def compiled(rule: Rule, rows: int, device: Any) -> Update:
    """Returns the update for rollouts of ``rows`` rows on a device of JAX."""
    import jax

    begin = perf_counter()
    place = jax.sharding.SingleDeviceSharding(device)
    shapes = jax.tree.map(
        lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=place),  # type: ignore[no-untyped-call]
        _example(rule, rows),
    )
    program = jax.jit(_program(rule)).lower(*shapes).compile()
    return Update(program, perf_counter() - begin)


def _example(rule: Rule, rows: int) -> tuple[Any, ...]:
    spec = rule.spec
    learner = beginner(np.zeros(network.size(spec), np.float32))
    numbers = np.zeros(rows, np.float32)
    discrete = spec.count is not None
    actions = np.zeros(rows, np.int32) if discrete else np.zeros((rows, spec.outputs), np.float32)
    seen = np.zeros((rows, spec.observation_size), np.float32)
    samples = Samples(seen, actions, numbers, numbers, numbers)
    return learner, np.float32(0), samples, np.zeros((rule.n_epochs, rows), np.int32)


def _program(rule: Rule) -> Any:
    """Returns the pure function behind `Update`."""
    from jax import lax

    def update(learner: Learner, rate: Any, samples: Samples, orders: Any) -> Any:
        def step(state: Any, batch: Samples) -> Any:
            return _step(rule, state, rate, batch)

        def epoch(state: Any, order: Any) -> Any:
            return _epoch(rule, step, state, Samples(*(column[order] for column in samples)))

        (learned, _), told = lax.scan(epoch, (learner, np.bool_(True)), orders)
        return learned, told

    return update


def _epoch(rule: Rule, step: Any, state: Any, samples: Samples) -> Any:
    """Takes a step per minibatch; rows that do not fill one make a smaller last one."""
    import jax.numpy as jnp
    from jax import lax

    whole, rest = divmod(len(samples.returns), rule.batch_size)
    stop = whole * rule.batch_size
    batches = Samples(
        *(column[:stop].reshape(whole, rule.batch_size, *column.shape[1:]) for column in samples)
    )
    state, told = lax.scan(step, state, batches)
    if rest:
        state, last = step(state, Samples(*(column[stop:] for column in samples)))
        told = Told(
            *(jnp.concatenate([all_, one[None]]) for all_, one in zip(told, last, strict=True))
        )
    return state, told


def _step(rule: Rule, state: Any, rate: Any, batch: Samples) -> Any:
    """Takes one minibatch's step of Adam, unless the policy has moved far enough."""
    import jax
    import jax.numpy as jnp

    learner, going = state
    weights = network.unpacked(rule.spec, learner.weights)
    (_, stats), gradients = jax.value_and_grad(_loss, argnums=1, has_aux=True)(rule, weights, batch)
    gradient = jnp.concatenate([gradients[name].reshape(-1) for name in weights])
    learned = _adam(learner, _clipped(gradient, rule.max_grad_norm), rate)
    if rule.target_kl is None:
        return (learned, going), Told(stats, going)
    further = going & (stats[STATS.index("approx_kl")] <= 1.5 * rule.target_kl)
    kept = Learner(
        *(jnp.where(further, new, old) for new, old in zip(learned, learner, strict=True))
    )
    return (kept, further), Told(stats, going)


def _clipped(gradient: Any, most: float) -> Any:
    import jax.numpy as jnp

    norm = jnp.sqrt((gradient**2).sum())
    return gradient * jnp.minimum(most / (norm + 1e-6), 1.0)


def _adam(learner: Learner, gradient: Any, rate: Any) -> Learner:
    """Returns the learner one step on; Kingma and Ba 2015 with epsilon outside the root."""
    import jax.numpy as jnp

    count = learner.count + 1
    first = BETAS[0] * learner.first + (1 - BETAS[0]) * gradient
    second = BETAS[1] * learner.second + (1 - BETAS[1]) * gradient**2
    times = count.astype(jnp.float32)
    length = rate / (1 - BETAS[0] ** times)
    root = jnp.sqrt(second) / jnp.sqrt(1 - BETAS[1] ** times) + ADAM_EPSILON
    return Learner(learner.weights - length * first / root, first, second, count)


def _loss(rule: Rule, weights: network.Weights, batch: Samples) -> Any:
    """Returns the loss of Schulman et al. 2017 over a minibatch, and the row of `STATS`."""
    import jax.numpy as jnp

    advantages = batch.advantages
    if rule.normalize_advantage and len(advantages) > 1:
        centred = advantages - advantages.mean()
        advantages = centred / (advantages.std(ddof=1) + 1e-8)
    log_probs, entropies = _action_terms(rule.spec, weights, batch)
    log_ratio = log_probs - batch.log_probs
    ratio = jnp.exp(log_ratio)
    near = jnp.clip(ratio, 1 - rule.clip_range, 1 + rule.clip_range)
    policy_loss = -jnp.minimum(advantages * ratio, advantages * near).mean()
    values = network.values(jnp, rule.spec, weights, batch.observations)
    value_loss = ((batch.returns - values) ** 2).mean()
    entropy_loss = -entropies.mean()
    loss = policy_loss + rule.ent_coef * entropy_loss + rule.vf_coef * value_loss
    approx_kl = ((ratio - 1) - log_ratio).mean()
    far = (jnp.abs(ratio - 1) > rule.clip_range).mean(dtype=jnp.float32)
    return loss, jnp.stack([policy_loss, value_loss, entropy_loss, approx_kl, far, loss])


def _action_terms(spec: PolicySpec, weights: network.Weights, batch: Samples) -> tuple[Any, Any]:
    """Returns log probabilities of the actions taken and entropies, (rows,) each."""
    import jax
    import jax.numpy as jnp

    hidden = network.latent(jnp, spec, weights, "policy", batch.observations)
    out = network.affine(jnp, weights, "action_net", hidden)
    if spec.count is not None:
        logits = network.log_softmax(jnp, out)
        taken = jnp.take_along_axis(logits, batch.actions[:, None], axis=-1)[:, 0]
        return taken, -(jnp.exp(logits) * logits).sum(-1)
    log_std = weights["log_std"]
    if spec.use_sde:
        # The noise is no way to train the features: no gradient flows into them through it.
        log_std = network.sde_log_std(jnp, jax.lax.stop_gradient(hidden), log_std)
    log_std = jnp.broadcast_to(log_std, out.shape)
    entropies = (0.5 + network.LOG_SQRT_TAU + log_std).sum(-1)
    return network.gaussian_log_prob(jnp, batch.actions, out, log_std), entropies
