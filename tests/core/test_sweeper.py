"""How soon a sweep follows on another one."""

from router.delivery.sweeper import SWEEP_LEAST, SWEEP_LEFT, SWEEP_MANY, SWEEP_SECONDS, Swept


def test_slots_that_a_fast_target_gives_back_are_used_again_at_once() -> None:
    """While messages are claimed, or wait for a slot, the time that a busy process takes for a sweep is not waited."""
    assert Swept(left=True).pause(0.1) == SWEEP_LEFT < SWEEP_LEAST
    assert Swept(left=True, more=True).pause(0.1) == SWEEP_LEFT


def test_a_long_queue_is_claimed_without_a_pause() -> None:
    """While one call of the store claims many messages, the next one follows at once."""
    assert Swept(left=True, claimed=SWEEP_MANY).pause(0.1) == 0.0
    assert Swept(left=True, claimed=SWEEP_MANY - 1).pause(0.1) == SWEEP_LEFT


def test_a_look_at_an_index_where_nothing_can_be_sent_takes_a_part_of_the_time() -> None:
    """After a sweep that found nothing to send, a pause of four times as long at least leaves the store to others."""
    assert Swept(more=True).pause(0.001) == SWEEP_LEAST
    assert Swept(more=True).pause(0.05) == 0.25
    assert Swept().pause(10.0) == SWEEP_SECONDS
