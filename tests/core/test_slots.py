"""The delivery slots of a process: the limit of all, the share of one target, and the circuit breaker."""

import pytest

from router.delivery.breaker import OPENS_AFTER, PROBE_SECONDS
from router.delivery.slots import AHEAD_FROM, REMEMBERED, Slots, Target

ONE, OTHER = "AC" + "1" * 32, "AC" + "2" * 32


def target(name: str, account: str = ONE) -> Target:
    """Name a target of an account."""
    return Target(account, name)


DEAD = target("dead")


def report(  # noqa: PLR0913 - what may come of an attempt
    slots: Slots,
    to: Target,
    now: float = 0.0,
    *,
    missed: bool = True,
    unreachable: bool = False,
    succeeded: bool = False,
) -> Target | None:
    """Make an attempt and report its outcome; return the target that became available again by it."""
    assert slots.take(to, now)
    back = slots.report(to, now, missed=missed, unreachable=unreachable, succeeded=succeeded)
    slots.give_back(to)
    return back


def test_a_target_has_a_quarter_of_the_slots() -> None:
    """One target takes at most a quarter of the process's slots."""
    slots = Slots(8, shared=False)
    assert [slots.take(target("slow"), 0.0) for _ in range(3)] == [True, True, False]
    assert slots.capacity(0.0).targets == {target("slow"): (2, 2)}
    assert slots.take(target("other"), 0.0)


def test_eight_slow_targets_leave_a_slot_for_a_ninth() -> None:
    """Eight targets that use all the slots they may leave at least one slot for a ninth target."""
    slots = Slots(256, shared=False)
    for number in range(8):
        while slots.take(target(f"slow {number}"), 0.0):
            pass
    assert slots.capacity(0.0).targets[target("slow 0")] == (64, 64)
    assert slots.take(target("quick"), 0.0)
    assert slots.sending > 250, "few slots are reserved for it"


@pytest.mark.parametrize("accounts", [1, 2, 4, 20, 300])
def test_no_account_takes_the_slots_of_another(accounts: int) -> None:
    """A message of a new account gets a slot at once, however many slots other accounts' slow targets use."""
    slots = Slots(256, shared=True)
    busy = [f"AC{number:032x}" for number in range(accounts)]
    for account in busy:
        for number in range(10):
            while slots.take(target(f"slow {number}", account), 0.0):
                pass
    has = slots.capacity(0.0).accounts
    assert slots.take(target("quick", OTHER), 0.0)
    assert has[busy[0]] == max(has.values()) == 192
    assert slots.sending <= 256 + accounts, "at most one slot per account beyond the limit"


def test_an_account_gives_up_slots_until_a_second_account_has_as_many() -> None:
    """An account with three quarters of the slots gives them up one by one until another account has as many."""
    slots = Slots(256, shared=True)
    lent = [target(f"busy {n}") for n in range(10) for _ in range(64) if slots.take(target(f"busy {n}"), 0.0)]
    assert len(lent) == 192
    assert not any(slots.is_owed(each) for each in lent)
    theirs: list[Target] = []
    for turn in range(200):
        other = target(f"busy {turn % 10}", OTHER)
        theirs += [other] if slots.take(other, 0.0) else []
        owed = next((each for each in lent if slots.is_owed(each)), None)
        if owed:
            slots.give_back(owed)
            lent.remove(owed)
    assert abs(len(lent) - len(theirs)) < 10
    assert len(lent) + len(theirs) > 210


def test_the_only_account_may_use_all_slots() -> None:
    """If only one account has messages, its targets get every slot."""
    slots = Slots(64, shared=False)
    for number in range(63):
        assert slots.take(target(f"target {number}"), 0.0)


def test_the_limit_holds_over_all_targets() -> None:
    """A process never runs more than ROUTER_DELIVERIES attempts at a time over all its targets."""
    slots = Slots(4, shared=False)
    assert [slots.take(target(f"target {n}"), 0.0) for n in range(5)] == [True] * 4 + [False]
    slots.give_back(target("target 0"))
    assert slots.free == 1
    assert slots.take(target("target 4"), 0.0)


def test_the_breaker_opens_after_five_misses_in_a_row_and_lets_one_probe_through() -> None:
    """After five misses the breaker lets one probe through every five seconds, and closes when one is answered."""
    slots = Slots(8, shared=False)
    for _ in range(OPENS_AFTER):
        report(slots, DEAD)
    assert slots.opened == 1
    assert not slots.take(DEAD, PROBE_SECONDS - 0.1)
    assert slots.take(DEAD, PROBE_SECONDS)
    assert not slots.take(DEAD, PROBE_SECONDS), "one probe at a time"
    slots.report(DEAD, PROBE_SECONDS, missed=False, unreachable=False, succeeded=True)
    slots.give_back(DEAD)
    assert not slots.opened
    assert slots.take(DEAD, PROBE_SECONDS)


def test_a_breaker_that_one_account_opened_is_closed_for_another() -> None:
    """Misses of one account at a host do not open the breaker for another account at the same host."""
    slots = Slots(8, shared=False)
    for _ in range(OPENS_AFTER):
        report(slots, DEAD)
    assert not slots.take(DEAD, 0.0)
    assert (slots.capacity(0.0).shut, slots.capacity(0.0).shut_names) == ([DEAD], [])
    assert slots.take(target("dead", OTHER), 0.0)


def test_a_host_that_refuses_connections_is_down_for_every_account() -> None:
    """If a host cannot be connected to, all accounts share one breaker; the first connection closes it for all."""
    slots = Slots(8, shared=False)
    for _ in range(OPENS_AFTER):
        report(slots, DEAD, unreachable=True)
    capacity = slots.capacity(0.0)
    assert (capacity.shut, capacity.shut_names) == ([], ["dead"])
    capacity = slots.capacity(PROBE_SECONDS)
    assert (capacity.shut_names, capacity.names) == ([], {"dead": 1})
    assert not slots.take(target("dead", OTHER), 0.0)
    report(slots, target("dead", OTHER), PROBE_SECONDS, missed=True)
    assert slots.take(DEAD, PROBE_SECONDS), "the attempt missed, but it did connect"


def test_an_answer_between_misses_keeps_the_breaker_closed() -> None:
    """An answer resets the count of misses: only five misses in a row open the breaker."""
    slots = Slots(8, shared=False)
    for missed in [True, True, True, True, False] * 3:
        report(slots, target("flaky"), missed=missed)
    assert not slots.opened


def test_a_probe_slot_given_back_unused_can_be_taken_again_at_once() -> None:
    """A probe's slot that is given back without an attempt can be taken again without waiting five seconds."""
    for unreachable in (False, True):
        slots = Slots(8, shared=False)
        for _ in range(OPENS_AFTER):
            report(slots, DEAD, unreachable=unreachable)
        for _ in range(3):
            assert slots.take(DEAD, PROBE_SECONDS)
            assert not slots.take(DEAD, PROBE_SECONDS)
            slots.give_back(DEAD)
        report(slots, DEAD, PROBE_SECONDS, unreachable=unreachable)
        assert not slots.take(DEAD, PROBE_SECONDS), "after an unanswered probe the five seconds begin anew"


def test_a_process_remembers_a_bounded_number_of_targets() -> None:
    """A process remembers at most REMEMBERED targets, and never forgets one with an attempt in flight."""
    slots = Slots(8, shared=False)
    slots.take(DEAD, 0.0)
    for number in range(2 * REMEMBERED):
        for _ in range(OPENS_AFTER):
            report(slots, target(f"dead {number}"), unreachable=bool(number % 2))
    assert len(slots._targets) <= REMEMBERED
    assert len(slots._names) <= REMEMBERED
    assert DEAD in slots._targets
    kept = [use.breaker for uses in (slots._targets, slots._names) for use in uses.values()]
    assert slots.opened == sum(breaker.open for breaker in kept) > 0


def test_the_first_success_after_an_open_breaker_is_reported_once() -> None:
    """The first success after an open breaker is reported, once; an error answer only closes the breaker."""
    slots = Slots(8, shared=False)
    later = PROBE_SECONDS
    assert report(slots, DEAD, missed=False, succeeded=True) is None, "its breaker was never open"
    for _ in range(OPENS_AFTER):
        assert report(slots, DEAD) is None
    assert report(slots, DEAD, later, missed=False) is None, "it answers 500"
    assert not slots.opened
    assert report(slots, DEAD, later, missed=False, succeeded=True) == DEAD
    assert report(slots, DEAD, later, missed=False, succeeded=True) is None
    for _ in range(OPENS_AFTER):
        report(slots, DEAD, later, unreachable=True)
    other = target("dead", OTHER)
    assert report(slots, other, 2 * later, missed=False, succeeded=True) == target("dead", "")
    assert report(slots, DEAD, 2 * later, missed=False, succeeded=True) is None


def test_a_claim_adds_the_slots_that_the_last_sweep_saw_freed() -> None:
    """A claim adds as many slots as a target freed in the last sweep, halved after each sweep, at most those in use."""
    slots, quick, slow = Slots(64, shared=True), target("quick"), target("slow", OTHER)
    for each in (quick, slow):
        for _ in range(16):
            assert slots.take(each, 0.0)
    end_attempts(slots, quick, 10)
    for ending in (10, 10, 5, 2, 1, 0):
        capacity = slots.capacity(0.0)
        assert (capacity.free, capacity.accounts) == (32 + ending, {ONE: 16 - ending, OTHER: 16})
        assert capacity.targets == {quick: (16 - ending, 16), slow: (16, 16)}
        slots.begin_sweep()


def test_messages_are_claimed_ahead_for_a_fast_target_only() -> None:
    """A claim takes more messages than free slots for a target that frees many slots; a slower target gets none."""
    slots, fast, slow = Slots(256, shared=True), target("fast"), target("slow", OTHER)
    for each in (fast, slow):
        for _ in range(64):
            assert slots.take(each, 0.0)
    end_attempts(slots, slow, AHEAD_FROM - 1)
    end_attempts(slots, fast, 40)
    capacity = slots.capacity(0.0, {fast: 5})
    assert capacity.free == 128 + 40 - 5 + AHEAD_FROM - 1
    assert capacity.targets == {fast: (64 + 5 - 40 - 40, 64), slow: (64 - AHEAD_FROM + 1, 64)}
    end_attempts(slots, fast, 200)
    assert slots.capacity(0.0).targets[fast] == (-64, 64)
    for _ in range(64):
        slots.give_back(fast)
    assert slots.capacity(0.0).targets[fast] == (-64, 64)


def test_no_message_is_claimed_ahead_for_a_handler() -> None:
    """A handler's messages are never claimed ahead: two lost processes are enough to give up such a message."""
    slots, handler = Slots(256, shared=False), target("handler:orders")
    for _ in range(50):
        assert slots.take(handler, 0.0)
    end_attempts(slots, handler, 40)
    capacity = slots.capacity(0.0, {handler: 4})
    assert (capacity.free, capacity.targets) == (256 - 50 - 4, {handler: (54, 64)})


def end_attempts(slots: Slots, of: Target, count: int) -> None:
    """End `count` attempts to a target, each followed at once by the next one."""
    for _ in range(count):
        slots.give_back(of)
        assert slots.take(of, 0.0)


def test_a_claim_subtracts_the_messages_that_wait_for_a_slot() -> None:
    """A claim leaves free the slots for the messages claimed before it that still wait for one."""
    slots, fast = Slots(64, shared=True), target("fast")
    assert slots.take(fast, 0.0)
    capacity = slots.capacity(0.0, {fast: 3})
    assert (capacity.free, capacity.accounts) == (60, {ONE: 4})
    assert capacity.targets == {fast: (4, 16)}
