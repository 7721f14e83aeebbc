import os
import signal
import threading
import time

import pytest

from rewardsmith.agent.stopping import stoppable


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_the_first_ctrl_c_is_an_interrupt_and_leaves_what_was_there_before() -> None:
    before = signal.getsignal(signal.SIGINT)
    left = threading.Event()
    with pytest.raises(KeyboardInterrupt), stoppable(left.set, grace_s=0.05):
        press_ctrl_c()
    time.sleep(0.15)
    assert not left.is_set(), "an orderly end needs no other"
    assert signal.getsignal(signal.SIGINT) is before


def test_what_does_not_end_is_left_after_the_grace() -> None:
    left = threading.Event()
    with stoppable(left.set, grace_s=0.05):
        try:
            press_ctrl_c()
        except KeyboardInterrupt:
            assert left.wait(5.0)
    assert left.is_set()


def test_the_second_ctrl_c_does_not_wait() -> None:
    left = threading.Event()
    with stoppable(left.set, grace_s=60.0):
        with pytest.raises(KeyboardInterrupt):
            press_ctrl_c()
        assert not left.is_set()
        press_ctrl_c()
        assert left.is_set()


def test_without_ctrl_c_nothing_happens() -> None:
    left = threading.Event()
    with stoppable(left.set, grace_s=0.0):
        pass
    assert not left.is_set()
