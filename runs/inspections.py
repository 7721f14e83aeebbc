"""What probes found in a run, on record once: nothing that is known is computed again."""

from collections.abc import Callable

from rewardsmith.runs.records import Inspection
from rewardsmith.runs.store import RunStore

Find = Callable[[], Inspection]


class Inspections:
    """The inspections of a run, by candidate and by what of it was inspected.

    The bank grows while a run goes on, and a worker's time runs out by the clock: what was found
    once is kept, so that a resumed run decides as an unbroken one. With ``recorded`` (a replay)
    that run's record alone counts, and what is missing there was never inspected.
    """

    def __init__(self, store: RunStore, *, recorded: RunStore | None = None) -> None:
        self._store = store
        self._replayed = recorded is not None
        self._known = (_inspected(recorded) if recorded else {}) | _inspected(store)
        self._written = set(_inspected(store))

    def of(self, candidate: str, subject: str, find: Find) -> Inspection:
        """Returns what is known of it, or what ``find`` finds; on disk when this returns.

        Args:
            candidate: id of the candidate.
            subject: what of it: the id of one of its programs, ``BESIDE`` or ``TRAINING``.
            find: finds it out; asked at most once.
        """
        key = (candidate, subject)
        if key not in self._known:
            found = Inspection() if self._replayed else find()
            # As read from the record again: a list that was a tuple must look alike in a prompt.
            self._known[key] = Inspection.model_validate_json(found.model_dump_json())
        if key not in self._written:
            told = {"inspection": self._known[key].model_dump(mode="json")}
            self._store.append("inspected", {"candidate": candidate, "subject": subject} | told)
            self._written.add(key)
        return self._known[key]


def _inspected(store: RunStore) -> dict[tuple[str, str], Inspection]:
    return {
        (event.data["candidate"], event.data["subject"]): Inspection.model_validate(
            event.data["inspection"]
        )
        for event in store.journal.read()
        if event.kind == "inspected"
    }
