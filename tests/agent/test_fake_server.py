import json
import subprocess
import sys
import urllib.error
import urllib.request
from typing import Any

import pytest

from rewardsmith.agent.fake_server import FAULTS, MODELS, REWARD, FakeServer, completion


def post(server: FakeServer, body: dict[str, Any], path: str = "/chat/completions") -> Any:
    request = urllib.request.Request(f"{server.url}{path}", json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=5.0) as answer:
        return json.load(answer)


def test_it_lists_its_models() -> None:
    with FakeServer() as server, urllib.request.urlopen(f"{server.url}/models") as answer:
        names = [item["id"] for item in json.load(answer)["data"]]
    assert names == list(MODELS)


def test_it_answers_with_a_reward_and_notes_what_was_asked() -> None:
    with FakeServer() as server:
        answer = post(server, {"model": "m", "messages": [{"role": "user", "content": "hop"}]})
    assert answer["choices"][0]["message"]["content"] == REWARD
    assert server.requests[0]["model"] == "m"


def test_faults_come_in_order_and_then_all_is_well() -> None:
    with FakeServer(["quota"]) as server:
        with pytest.raises(urllib.error.HTTPError) as caught:
            post(server, {})
        caught.value.close()
        assert caught.value.code == 429
        assert post(server, {})["choices"][0]["finish_reason"] == "stop"


def test_an_answer_may_depend_on_the_question() -> None:
    with FakeServer(answer=lambda body: f"to {body['model']}") as server:
        assert post(server, {"model": "x"})["choices"][0]["message"]["content"] == "to x"


def test_another_path_is_not_found() -> None:
    with FakeServer() as server, pytest.raises(urllib.error.HTTPError) as caught:
        post(server, {}, "/responses")
    caught.value.close()
    assert caught.value.code == 404


def test_a_completion_has_one_choice_whatever_n_says() -> None:
    assert len(completion({"n": 8}, "x")["choices"]) == 1


def test_every_fault_says_what_it_does() -> None:
    assert all((fault.__doc__ or "").endswith(".") for fault in FAULTS.values())


def test_as_a_command_it_prints_what_to_set_and_names_the_faults() -> None:
    command = [sys.executable, "-m", "rewardsmith.agent.fake_server"]
    wrong = subprocess.run([*command, "nope"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "there are: ok, unauthorized" in wrong.stderr
    with subprocess.Popen([*command, "empty"], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline().startswith("export OPENAI_BASE_URL=http://127.0.0.1:")
        running.terminate()
