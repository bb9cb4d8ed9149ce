"""Slots of a process: its limit, a target's share, and the breaker."""

from router.delivery.breaker import OPENS_AFTER, PROBE_SECONDS, Targets


def test_a_target_has_a_quarter_of_the_slots() -> None:
    """One target cannot take more than a quarter, so a slow one leaves room for the others."""
    targets = Targets(8)
    assert [targets.take("slow", 0.0) for _ in range(3)] == [True, True, False]
    assert targets.full(0.0) == ["slow"]
    assert targets.take("other", 0.0)


def test_the_limit_holds_over_all_targets() -> None:
    """No more attempts than ROUTER_DELIVERIES run at a time."""
    targets = Targets(4)
    assert [targets.take(f"target {n}", 0.0) for n in range(5)] == [True] * 4 + [False]
    targets.give_back("target 0")
    assert targets.free == 1
    assert targets.take("target 4", 0.0)


def test_the_breaker_opens_after_five_misses_in_a_row_and_lets_one_probe_through() -> None:
    """A dead target gets one probe every five seconds, and all its share again once a probe is answered."""
    targets = Targets(8)
    for _ in range(OPENS_AFTER):
        assert targets.take("dead", 0.0)
        targets.report("dead", 0.0, answered=False)
        targets.give_back("dead")
    assert targets.open() == ["dead"]
    assert not targets.take("dead", PROBE_SECONDS - 0.1)
    assert targets.take("dead", PROBE_SECONDS)
    assert not targets.take("dead", PROBE_SECONDS), "one probe at a time"
    targets.report("dead", PROBE_SECONDS, answered=True)
    targets.give_back("dead")
    assert not targets.open()
    assert targets.take("dead", PROBE_SECONDS)


def test_an_answer_between_misses_keeps_the_breaker_closed() -> None:
    """Only misses in a row count."""
    targets = Targets(8)
    for answered in [False, False, False, False, True] * 3:
        assert targets.take("flaky", 0.0)
        targets.report("flaky", 0.0, answered=answered)
        targets.give_back("flaky")
    assert not targets.open()


def test_a_probe_that_sent_nothing_may_be_taken_again_at_once() -> None:
    """A slot that was reserved and given back unused does not cost a healed target its next five seconds."""
    targets = Targets(8)
    for _ in range(OPENS_AFTER):
        assert targets.take("dead", 0.0)
        targets.report("dead", 0.0, answered=False)
        targets.give_back("dead")
    for _ in range(3):
        assert targets.take("dead", PROBE_SECONDS)
        assert not targets.take("dead", PROBE_SECONDS)
        targets.give_back("dead")
    assert targets.take("dead", PROBE_SECONDS)
    targets.report("dead", PROBE_SECONDS, answered=False)
    targets.give_back("dead")
    assert not targets.take("dead", PROBE_SECONDS), "a probe that was not answered costs them"
