"""Slots of a process: its limit, a target's share, and the breaker."""

from router.delivery.breaker import OPENS_AFTER, PROBE_SECONDS, REMEMBERED, Target, Targets

ONE, OTHER = "AC" + "1" * 32, "AC" + "2" * 32


def target(name: str, account: str = ONE) -> Target:
    """Name an account's target."""
    return Target(account, name)


DEAD = target("dead")


def report(targets: Targets, to: Target, now: float = 0.0, *, missed: bool = True, unreachable: bool = False) -> None:
    """Make an attempt, and say what came of it."""
    assert targets.take(to, now)
    targets.report(to, now, missed=missed, unreachable=unreachable)
    targets.give_back(to)


def test_a_target_has_a_quarter_of_the_slots() -> None:
    """One target cannot take more than a quarter, so a slow one leaves room for the others."""
    targets = Targets(8)
    assert [targets.take(target("slow"), 0.0) for _ in range(3)] == [True, True, False]
    assert targets.room(0.0).targets == {target("slow"): 0}
    assert targets.room(0.0).share == 2
    assert targets.take(target("other"), 0.0)


def test_the_limit_holds_over_all_targets() -> None:
    """No more attempts than ROUTER_DELIVERIES run at a time."""
    targets = Targets(4)
    assert [targets.take(target(f"target {n}"), 0.0) for n in range(5)] == [True] * 4 + [False]
    targets.give_back(target("target 0"))
    assert targets.free == 1
    assert targets.take(target("target 4"), 0.0)


def test_the_breaker_opens_after_five_misses_in_a_row_and_lets_one_probe_through() -> None:
    """A dead target gets one probe every five seconds, and all its share again once a probe is answered."""
    targets = Targets(8)
    for _ in range(OPENS_AFTER):
        report(targets, DEAD)
    assert targets.open() == ["dead"]
    assert not targets.take(DEAD, PROBE_SECONDS - 0.1)
    assert targets.take(DEAD, PROBE_SECONDS)
    assert not targets.take(DEAD, PROBE_SECONDS), "one probe at a time"
    targets.report(DEAD, PROBE_SECONDS, missed=False, unreachable=False)
    targets.give_back(DEAD)
    assert not targets.open()
    assert targets.take(DEAD, PROBE_SECONDS)


def test_one_accounts_misses_are_not_anothers() -> None:
    """What a host refuses one account says nothing about what it answers to another."""
    targets = Targets(8)
    for _ in range(OPENS_AFTER):
        report(targets, DEAD)
    assert not targets.take(DEAD, 0.0)
    assert (targets.room(0.0).shut, targets.room(0.0).shut_names) == ([DEAD], [])
    assert targets.take(target("dead", OTHER), 0.0)


def test_a_host_that_cannot_be_connected_to_is_down_for_every_account() -> None:
    """There one probe is made for all, and the first that connects opens it to all."""
    targets = Targets(8)
    for _ in range(OPENS_AFTER):
        report(targets, DEAD, unreachable=True)
    room = targets.room(0.0)
    assert (room.shut, room.shut_names) == ([], ["dead"])
    room = targets.room(PROBE_SECONDS)
    assert (room.shut_names, room.names) == ([], {"dead": 1})
    assert not targets.take(target("dead", OTHER), 0.0)
    report(targets, target("dead", OTHER), PROBE_SECONDS, missed=True)
    assert targets.take(DEAD, PROBE_SECONDS), "it refused, but it can be connected to"


def test_an_answer_between_misses_keeps_the_breaker_closed() -> None:
    """Only misses in a row count."""
    targets = Targets(8)
    for missed in [True, True, True, True, False] * 3:
        report(targets, target("flaky"), missed=missed)
    assert not targets.open()


def test_a_probe_that_sent_nothing_may_be_taken_again_at_once() -> None:
    """A slot that was reserved and given back unused does not cost a healed target its next five seconds."""
    for unreachable in (False, True):
        targets = Targets(8)
        for _ in range(OPENS_AFTER):
            report(targets, DEAD, unreachable=unreachable)
        for _ in range(3):
            assert targets.take(DEAD, PROBE_SECONDS)
            assert not targets.take(DEAD, PROBE_SECONDS)
            targets.give_back(DEAD)
        report(targets, DEAD, PROBE_SECONDS, unreachable=unreachable)
        assert not targets.take(DEAD, PROBE_SECONDS), "a probe that was not answered costs them"


def test_no_more_targets_are_remembered_than_is_good_for_memory() -> None:
    """Ever new dead targets do not make a process grow, nor forget those with an attempt under way."""
    targets = Targets(8)
    targets.take(DEAD, 0.0)
    for number in range(2 * REMEMBERED):
        report(targets, target(f"dead {number}"))
    assert len(targets._targets) <= REMEMBERED
    assert len(targets._names) <= REMEMBERED
    assert DEAD in targets._targets
