import json
from pathlib import Path

import pytest

from rewardsmith.envs.task import ActionSpec, EnvSpec, Task
from rewardsmith.errors import ConfigError, StoreError
from rewardsmith.runs.store import CallRecords, RunStore, write_durably

TASK = Task(
    id="demo/Line",
    text="go right",
    env=EnvSpec("Line-v0", (), (), ActionSpec((1,), (-1.0,), (1.0,), None, "push"), 50, 0.1),
    fitness="demo:fitness",
    fitness_unit="m",
    fitness_meaning="metres",
)


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore.create(tmp_path / "run", {"config": {"env": "Line-v0"}}, TASK)


def test_a_run_gives_back_its_head_and_its_task(store: RunStore) -> None:
    opened = RunStore.open(store.path)
    assert opened.head()["config"] == {"env": "Line-v0"}
    assert opened.task() == TASK


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not a run folder"):
        RunStore.open(tmp_path)


def test_a_damaged_head_says_which_file(store: RunStore) -> None:
    store.head_path.write_text("{")
    with pytest.raises(StoreError, match=r"run\.json"):
        store.head()


def test_a_head_without_its_task_is_an_error(store: RunStore) -> None:
    store.head_path.write_text(json.dumps({"config": {}}))
    with pytest.raises(StoreError, match="no valid task"):
        store.task()


def test_a_blob_is_found_by_its_content(store: RunStore) -> None:
    name = store.put_blob("a prompt \ud800")
    assert store.put_blob("a prompt \ud800") == name
    assert store.get_blob(name) == "a prompt \ud800"


def test_a_blob_that_was_changed_is_an_error(store: RunStore) -> None:
    name = store.put_blob("a prompt")
    (store.path / "blobs" / name).write_text("another prompt")
    with pytest.raises(StoreError, match="does not match"):
        store.get_blob(name)


def test_a_missing_blob_is_an_error(store: RunStore) -> None:
    with pytest.raises(StoreError, match="incomplete"):
        store.get_blob("0" * 64)


def test_a_durable_write_leaves_no_temporary_file(tmp_path: Path) -> None:
    write_durably(tmp_path / "deep" / "file", b"content")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["file"]


def test_a_write_that_fails_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(StoreError, match="taken"):
        write_durably(tmp_path / "taken", b"content")


def test_only_one_process_works_on_a_run(store: RunStore) -> None:
    with store.working(), pytest.raises(ConfigError, match="another process"), store.working():
        pass


def test_a_run_can_be_worked_on_again_afterwards(store: RunStore) -> None:
    with store.working():
        pass
    with store.working():
        pass


def test_an_answered_call_is_known_to_the_next_process(store: RunStore) -> None:
    record = {"text": "hi", "usage": {"prompt_tokens": 3, "cost_usd": 0.5}}
    CallRecords(store).put("abc", record)
    assert CallRecords(store).get("abc") == record
    assert CallRecords(store).get("other") is None


def test_calls_are_counted_in_the_state(store: RunStore) -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "cost_usd": 0.5}
    CallRecords(store).put("abc", {"usage": usage})
    spent = store.state().spent
    assert (spent.model_calls, spent.prompt_tokens, spent.completion_tokens) == (1, 3, 4)
    assert spent.usd == 0.5


def test_one_unknown_price_makes_the_cost_unknown(store: RunStore) -> None:
    records = CallRecords(store)
    records.put("a", {"usage": {"cost_usd": 0.5}})
    records.put("b", {"usage": {"cost_usd": None}})
    assert store.state().spent.usd is None


def test_a_call_that_failed_is_remembered_but_costs_nothing_known(store: RunStore) -> None:
    CallRecords(store).put("a", {"error": {"kind": "timeout"}})
    assert CallRecords(store).get("a") == {"error": {"kind": "timeout"}}
    assert store.state().spent.model_calls == 0
    assert store.state().spent.usd == 0.0
