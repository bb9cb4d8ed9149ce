"""Call: a command to the store, whose caller waits for the reply."""

import time

import gevent
import pytest

from router.errors import StoreRefused, StoreUnavailable
from router.store.client import Call


def test_a_reply_may_come_before_its_caller_waits_or_later() -> None:
    """The caller gets the reply or the error, whether it comes before or after the caller waits."""
    early, late, wrong = (Call(b"", writes=False) for _ in range(3))
    early.answer(b"one")
    gevent.sleep(0)
    assert early.result() == b"one"
    gevent.spawn(late.answer, b"two")
    assert late.result(10) == b"two"
    gevent.spawn(wrong.fail, StoreRefused("why"))
    with pytest.raises(StoreRefused, match="why"):
        wrong.result()


def test_a_lost_connection_does_not_replace_a_reply() -> None:
    """A lost connection does not replace a reply that has already come."""
    call = Call(b"", writes=False)
    call.answer(b"one")
    call.fail(StoreUnavailable("lost"))
    assert call.result() == b"one"


def test_a_call_without_a_reply_in_time_raises_store_unavailable() -> None:
    """`result` raises StoreUnavailable when its limit has passed."""
    with pytest.raises(StoreUnavailable, match="did not answer within"):
        Call(b"", writes=False).result(0.01)


def test_the_callers_own_timeout_is_raised_unchanged() -> None:
    """The caller's own gevent.Timeout is raised unchanged, and a later reply does not wake the caller."""
    for limit in (None, 10.0):
        call = Call(b"", writes=False)
        with pytest.raises(gevent.Timeout), gevent.Timeout(0.01):
            call.result(limit)
        call.answer(b"late")
        began = time.monotonic()
        gevent.sleep(0.05)
        assert time.monotonic() - began >= 0.05
