"""Slots of a process: its limit, a target's share, and the breaker."""

import pytest

from router.delivery.breaker import AHEAD_FROM, OPENS_AFTER, PROBE_SECONDS, REMEMBERED, Target, Targets

ONE, OTHER = "AC" + "1" * 32, "AC" + "2" * 32


def target(name: str, account: str = ONE) -> Target:
    """Name an account's target."""
    return Target(account, name)


DEAD = target("dead")


def report(  # noqa: PLR0913 - what may come of an attempt
    targets: Targets,
    to: Target,
    now: float = 0.0,
    *,
    missed: bool = True,
    unreachable: bool = False,
    succeeded: bool = False,
) -> Target | None:
    """Make an attempt, and say what came of it; return what is back by it."""
    assert targets.take(to, now)
    back = targets.report(to, now, missed=missed, unreachable=unreachable, succeeded=succeeded)
    targets.give_back(to)
    return back


def test_a_target_has_a_quarter_of_the_slots() -> None:
    """One target cannot take more than a quarter, so a slow one leaves room for the others."""
    targets = Targets(8, shared=False)
    assert [targets.take(target("slow"), 0.0) for _ in range(3)] == [True, True, False]
    assert targets.room(0.0).targets == {target("slow"): (2, 2)}
    assert targets.take(target("other"), 0.0)


def test_slow_targets_leave_room_for_another() -> None:
    """Eight targets that take all they may, and answer none, leave slots for a ninth."""
    targets = Targets(256, shared=False)
    for number in range(8):
        while targets.take(target(f"slow {number}"), 0.0):
            pass
    assert targets.room(0.0).targets[target("slow 0")] == (64, 64)
    assert targets.take(target("quick"), 0.0)
    assert targets.sending > 250, "and not many are kept for it"


@pytest.mark.parametrize("accounts", [1, 2, 4, 20, 300])
def test_no_account_takes_the_slots_of_another(accounts: int) -> None:
    """Whatever accounts with many slow targets take, another one's message is sent at once."""
    targets = Targets(256, shared=True)
    busy = [f"AC{number:032x}" for number in range(accounts)]
    for account in busy:
        for number in range(10):
            while targets.take(target(f"slow {number}", account), 0.0):
                pass
    has = targets.room(0.0).accounts
    assert targets.take(target("quick", OTHER), 0.0)
    assert has[busy[0]] == max(has.values()) == 192
    assert targets.sending <= 256 + accounts, "beyond the limit, one for each"


def test_what_was_lent_goes_back_when_others_come() -> None:
    """An account that has three quarters of the slots gives some up, message by message, until others have as many."""
    targets = Targets(256, shared=True)
    lent = [target(f"busy {n}") for n in range(10) for _ in range(64) if targets.take(target(f"busy {n}"), 0.0)]
    assert len(lent) == 192
    assert not any(targets.is_owed(each) for each in lent)
    theirs: list[Target] = []
    for turn in range(200):
        other = target(f"busy {turn % 10}", OTHER)
        theirs += [other] if targets.take(other, 0.0) else []
        owed = next((each for each in lent if targets.is_owed(each)), None)
        if owed:
            targets.give_back(owed)
            lent.remove(owed)
    assert abs(len(lent) - len(theirs)) < 10
    assert len(lent) + len(theirs) > 210


def test_an_account_alone_has_all_slots() -> None:
    """Where there is no other account, none is kept waiting."""
    targets = Targets(64, shared=False)
    for number in range(63):
        assert targets.take(target(f"target {number}"), 0.0)


def test_the_limit_holds_over_all_targets() -> None:
    """No more attempts than ROUTER_DELIVERIES run at a time."""
    targets = Targets(4, shared=False)
    assert [targets.take(target(f"target {n}"), 0.0) for n in range(5)] == [True] * 4 + [False]
    targets.give_back(target("target 0"))
    assert targets.free == 1
    assert targets.take(target("target 4"), 0.0)


def test_the_breaker_opens_after_five_misses_in_a_row_and_lets_one_probe_through() -> None:
    """A dead target gets one probe every five seconds, and all its share again once a probe is answered."""
    targets = Targets(8, shared=False)
    for _ in range(OPENS_AFTER):
        report(targets, DEAD)
    assert targets.opened == 1
    assert not targets.take(DEAD, PROBE_SECONDS - 0.1)
    assert targets.take(DEAD, PROBE_SECONDS)
    assert not targets.take(DEAD, PROBE_SECONDS), "one probe at a time"
    targets.report(DEAD, PROBE_SECONDS, missed=False, unreachable=False, succeeded=True)
    targets.give_back(DEAD)
    assert not targets.opened
    assert targets.take(DEAD, PROBE_SECONDS)


def test_one_accounts_misses_are_not_anothers() -> None:
    """What a host refuses one account says nothing about what it answers to another."""
    targets = Targets(8, shared=False)
    for _ in range(OPENS_AFTER):
        report(targets, DEAD)
    assert not targets.take(DEAD, 0.0)
    assert (targets.room(0.0).shut, targets.room(0.0).shut_names) == ([DEAD], [])
    assert targets.take(target("dead", OTHER), 0.0)


def test_a_host_that_cannot_be_connected_to_is_down_for_every_account() -> None:
    """There one probe is made for all, and the first that connects opens it to all."""
    targets = Targets(8, shared=False)
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
    targets = Targets(8, shared=False)
    for missed in [True, True, True, True, False] * 3:
        report(targets, target("flaky"), missed=missed)
    assert not targets.opened


def test_a_probe_that_sent_nothing_may_be_taken_again_at_once() -> None:
    """A slot that was reserved and given back unused does not cost a healed target its next five seconds."""
    for unreachable in (False, True):
        targets = Targets(8, shared=False)
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
    targets = Targets(8, shared=False)
    targets.take(DEAD, 0.0)
    for number in range(2 * REMEMBERED):
        for _ in range(OPENS_AFTER):
            report(targets, target(f"dead {number}"), unreachable=bool(number % 2))
    assert len(targets._targets) <= REMEMBERED
    assert len(targets._names) <= REMEMBERED
    assert DEAD in targets._targets
    kept = [use.breaker for uses in (targets._targets, targets._names) for use in uses.values()]
    assert targets.opened == sum(breaker.open for breaker in kept) > 0


def test_a_target_is_back_with_the_first_success_after_a_breaker_was_open() -> None:
    """An error as answer only closes the breaker. A success counts, once; for all accounts if none could connect."""
    targets = Targets(8, shared=False)
    later = PROBE_SECONDS
    assert report(targets, DEAD, missed=False, succeeded=True) is None, "it was never away"
    for _ in range(OPENS_AFTER):
        assert report(targets, DEAD) is None
    assert report(targets, DEAD, later, missed=False) is None, "it answers 500"
    assert not targets.opened
    assert report(targets, DEAD, later, missed=False, succeeded=True) == DEAD
    assert report(targets, DEAD, later, missed=False, succeeded=True) is None
    for _ in range(OPENS_AFTER):
        report(targets, DEAD, later, unreachable=True)
    other = target("dead", OTHER)
    assert report(targets, other, 2 * later, missed=False, succeeded=True) == target("dead", "")
    assert report(targets, DEAD, 2 * later, missed=False, succeeded=True) is None


def test_a_claim_counts_on_the_slots_that_a_target_gives_back_meanwhile() -> None:
    """As many as during a sweep lately, by half as many after each one, and no more than are in use."""
    targets, quick, slow = Targets(64, shared=True), target("quick"), target("slow", OTHER)
    for each in (quick, slow):
        for _ in range(16):
            assert targets.take(each, 0.0)
    end_attempts(targets, quick, 10)
    for ending in (10, 10, 5, 2, 1, 0):
        room = targets.room(0.0)
        assert (room.free, room.accounts) == (32 + ending, {ONE: 16 - ending, OTHER: 16})
        assert room.targets == {quick: (16 - ending, 16), slow: (16, 16)}
        targets.begin_sweep()


def test_messages_are_claimed_ahead_of_the_slots_of_a_fast_target() -> None:
    """As many again as come free, up to a target's share, less those that wait; a slower target gets none ahead."""
    targets, fast, slow = Targets(256, shared=True), target("fast"), target("slow", OTHER)
    for each in (fast, slow):
        for _ in range(64):
            assert targets.take(each, 0.0)
    end_attempts(targets, slow, AHEAD_FROM - 1)
    end_attempts(targets, fast, 40)
    room = targets.room(0.0, {fast: 5})
    assert room.free == 128 + 40 - 5 + AHEAD_FROM - 1
    assert room.targets == {fast: (64 + 5 - 40 - 40, 64), slow: (64 - AHEAD_FROM + 1, 64)}
    end_attempts(targets, fast, 200)
    assert targets.room(0.0).targets[fast] == (-64, 64)
    for _ in range(64):
        targets.give_back(fast)
    assert targets.room(0.0).targets[fast] == (-64, 64)


def test_no_message_is_claimed_for_a_handler_that_has_no_slot_free() -> None:
    """It would count as sent by a process that is lost, of which two are enough to give up a handler's message."""
    targets, handler = Targets(256, shared=False), target("handler:orders")
    for _ in range(50):
        assert targets.take(handler, 0.0)
    end_attempts(targets, handler, 40)
    room = targets.room(0.0, {handler: 4})
    assert (room.free, room.targets) == (256 - 50 - 4, {handler: (54, 64)})


def end_attempts(targets: Targets, of: Target, count: int) -> None:
    """End attempts of a target, each of which is followed by the next one."""
    for _ in range(count):
        targets.give_back(of)
        assert targets.take(of, 0.0)


def test_a_claim_leaves_slots_to_what_was_claimed_before() -> None:
    """Messages that wait for a slot of a target come before those that a claim would add."""
    targets, fast = Targets(64, shared=True), target("fast")
    assert targets.take(fast, 0.0)
    room = targets.room(0.0, {fast: 3})
    assert (room.free, room.accounts) == (60, {ONE: 4})
    assert room.targets == {fast: (4, 16)}
