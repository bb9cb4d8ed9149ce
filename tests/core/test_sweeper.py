"""How soon one sweep follows another."""

from router.delivery.sweeper import SWEEP_LEAST, SWEEP_LEFT, SWEEP_MANY, SWEEP_SECONDS, Swept


def test_while_messages_are_left_the_next_sweep_follows_soon() -> None:
    """While claimed messages are left, the next sweep follows after SWEEP_LEFT."""
    assert Swept(left=True).pause(0.1) == SWEEP_LEFT < SWEEP_LEAST
    assert Swept(left=True, more=True).pause(0.1) == SWEEP_LEFT


def test_a_long_queue_is_claimed_without_a_pause() -> None:
    """After a sweep that claimed SWEEP_MANY messages the next one follows at once."""
    assert Swept(left=True, claimed=SWEEP_MANY).pause(0.1) == 0.0
    assert Swept(left=True, claimed=SWEEP_MANY - 1).pause(0.1) == SWEEP_LEFT


def test_after_a_sweep_that_sends_nothing_the_pause_is_longer() -> None:
    """After a sweep that found nothing to send, the pause grows with the sweep's time, from SWEEP_LEAST."""
    assert Swept(more=True).pause(0.001) == SWEEP_LEAST
    assert Swept(more=True).pause(0.05) == 0.25
    assert Swept().pause(10.0) == SWEEP_SECONDS
