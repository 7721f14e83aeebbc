"""The models that batches step: the environment's own, changed in what it shows or costs alone."""

import copy
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from rewardsmith.envs.recorder import quiet_loading

_FEW_GEOMS = 8  # on a body: testing each pair of two such is quicker than a tree of boxes
_TRIAL_STEPS = 60

Contacts = Sequence[tuple[str, str]]


def with_contacts(env_id: str, bare: Any, contacts: Contacts) -> Any:
    """Returns the environment's model, with a sensor for each pair that its card asks about.

    Args:
        env_id: for Gymnasium's own, whose models MuJoCo remarks on.
        bare: the environment without wrappers.
        contacts: pairs of geoms or bodies, by name.
    """
    return _compiled(env_id, _changed(env_id, bare, contacts)) if contacts else bare.model


def lean(env_id: str, bare: Any, contacts: Contacts) -> Any:
    """Returns the model `with_contacts`, made to cost less and to give the same to the bit.

    Islands part constraints by the trees that they bind, and one tree has but one. Bodies of few
    geoms need no tree of boxes to find those that touch. And where nothing can touch but the
    floor, naming these pairs saves the search for others (decision 0010 has what each saves).

    Whether the numbers are the same is tried, for a later MuJoCo may do otherwise: where they are
    not, the result is `with_contacts`.
    """
    changed = _changed(env_id, bare, contacts)
    compiled = _compiled(env_id, changed)  # and numbers the elements of `changed`
    plain = compiled if contacts else bare.model
    stripped = _with_named_pairs(env_id, plain, changed)
    kind = _mujoco().mjtDisableBit
    if plain.ntree == 1:
        stripped.opt.disableflags |= int(kind.mjDSBL_ISLAND)
    if max(plain.body_geomnum) <= _FEW_GEOMS:
        stripped.opt.disableflags |= int(kind.mjDSBL_MIDPHASE)
    same = np.array_equal(_trial(plain), _trial(stripped))
    return stripped if same else plain


def _mujoco() -> Any:
    import mujoco

    return mujoco


def _changed(env_id: str, bare: Any, contacts: Contacts) -> Any:
    mujoco = _mujoco()
    with _quiet(env_id):
        changed = mujoco.MjSpec.from_file(bare.fullpath)
    for number, pair in enumerate(contacts):
        kinds = [_kind(bare.model, name) for name in pair]
        sensor = changed.add_sensor(
            name=f"rewardsmith contact {number}",
            type=mujoco.mjtSensor.mjSENS_CONTACT,
            objtype=kinds[0],
            objname=pair[0],
            reftype=kinds[1],
            refname=pair[1],
        )
        sensor.intprm = [1, 0, 1]  # tell how many contacts there are, and no more
    return changed


def _compiled(env_id: str, changed: Any) -> Any:
    with _quiet(env_id):
        return changed.compile()


@contextmanager
def _quiet(env_id: str) -> Iterator[None]:
    """Keeps MuJoCo and its Python from remarks on Gymnasium's own models."""
    with quiet_loading(env_id), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _kind(model: Any, name: str) -> Any:
    kind = _mujoco().mjtObj
    geoms = {model.geom(i).name for i in range(model.ngeom)}
    return kind.mjOBJ_GEOM if name in geoms else kind.mjOBJ_BODY


def _with_named_pairs(env_id: str, plain: Any, changed: Any) -> Any:
    """Returns a copy of the model, with all pairs that may touch named where they are known.

    No others are looked for then. ``changed`` is what the model was compiled from.
    """
    pairs = _floor_pairs(plain)
    if not pairs or changed.compiler.discardvisual:  # geoms that touch nothing would go
        return copy.copy(plain)
    geoms = {geom.id: geom for geom in changed.geoms}
    for number, geom in geoms.items():
        geom.name = geom.name or f"rewardsmith geom {number}"
        geom.contype = geom.conaffinity = 0
    for floor, geom in pairs:
        changed.add_pair(geomname1=geoms[floor].name, geomname2=geoms[geom].name)
    model = _compiled(env_id, changed)
    for place in range(model.npair):
        _mix(model, place)
    return model


def _floor_pairs(model: Any) -> list[tuple[int, int]]:
    """Returns the pairs of a plane of the world and a geom that may touch; [] where others may.

    And where a pair would mix what its two say of contacts: that is for MuJoCo to round.
    """
    mujoco = _mujoco()
    special = int(mujoco.mjtEnableBit.mjENBL_OVERRIDE) | int(mujoco.mjtEnableBit.mjENBL_SLEEP)
    if model.npair or model.nexclude or model.nflex or model.opt.enableflags & special:
        return []
    asks = (model.geom_contype[:, None] & model.geom_conaffinity) != 0
    welded = model.body_weldid[model.geom_bodyid]
    meet = (asks | asks.T) & (welded[:, None] != welded)
    floor = (model.geom_bodyid == 0) & (model.geom_type == int(mujoco.mjtGeom.mjGEOM_PLANE))
    if meet[np.ix_(~floor, ~floor)].any():
        return []
    pairs = [(int(a), int(b)) for a in np.flatnonzero(floor) for b in np.flatnonzero(meet[a])]
    alike = ("geom_solref", "geom_solimp", "geom_solmix", "geom_priority")
    mixed = any(_differ(getattr(model, name), pair) for name in alike for pair in pairs)
    return [] if mixed else pairs


def _differ(values: npt.NDArray[Any], pair: tuple[int, int]) -> bool:
    return not np.array_equal(values[pair[0]], values[pair[1]])


def _mix(model: Any, place: int) -> None:
    """Gives a named pair what MuJoCo gives one that it finds, as its `mj_contactParam` does."""
    two = [model.pair_geom1[place], model.pair_geom2[place]]
    slide, spin, roll = model.geom_friction[two].max(axis=0)
    model.pair_dim[place] = model.geom_condim[two].max()
    model.pair_friction[place] = (slide, slide, spin, roll, roll)
    model.pair_solref[place] = model.geom_solref[two[0]]
    model.pair_solimp[place] = model.geom_solimp[two[0]]
    model.pair_solreffriction[place] = 0.0
    model.pair_margin[place] = model.geom_margin[two].sum()
    model.pair_gap[place] = model.geom_gap[two].sum()


def _trial(model: Any) -> npt.NDArray[Any]:
    """Returns the states and sensors of a short episode under random controls."""
    mujoco = _mujoco()
    data, rng = mujoco.MjData(model), np.random.default_rng(0)
    whole = mujoco.mjtState.mjSTATE_INTEGRATION
    seen = []
    for _ in range(_TRIAL_STEPS):
        data.ctrl[:] = rng.uniform(-1.0, 1.0, model.nu)
        mujoco.mj_step(model, data)
        state = np.empty(mujoco.mj_stateSize(model, whole))
        mujoco.mj_getState(model, data, state, whole)
        seen.append(np.concatenate([state, data.sensordata]))
    return np.array(seen)
