"""A command on its way to the store, and its caller, who waits for the reply."""

import time

import gevent
import pytest

from router.errors import StoreRefused, StoreUnavailable
from router.store.client import Call


def test_a_reply_may_come_before_its_caller_waits_or_later() -> None:
    """Either way it is the caller's, and so is an error."""
    early, late, wrong = (Call(b"", writes=False) for _ in range(3))
    early.answer(b"one")
    gevent.sleep(0)
    assert early.result() == b"one"
    gevent.spawn(late.answer, b"two")
    assert late.result(10) == b"two"
    gevent.spawn(wrong.fail, StoreRefused("why"))
    with pytest.raises(StoreRefused, match="why"):
        wrong.result()


def test_the_first_reply_counts() -> None:
    """A connection that is lost says so to the callers that have no reply yet, and to no other."""
    call = Call(b"", writes=False)
    call.answer(b"one")
    call.fail(StoreUnavailable("lost"))
    assert call.result() == b"one"


def test_a_call_has_a_limit_if_wanted() -> None:
    """Beyond it the store is unavailable."""
    with pytest.raises(StoreUnavailable, match="did not answer within"):
        Call(b"", writes=False).result(0.01)


def test_a_deadline_of_the_callers_own_stays_that() -> None:
    """And a reply that comes later wakes the caller nowhere else."""
    for limit in (None, 10.0):
        call = Call(b"", writes=False)
        with pytest.raises(gevent.Timeout), gevent.Timeout(0.01):
            call.result(limit)
        call.answer(b"late")
        began = time.monotonic()
        gevent.sleep(0.05)
        assert time.monotonic() - began >= 0.05
