"""How the accounts' keys are distributed over the slots of a Cluster."""

from collections import Counter

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from router.store.keys import BUCKETS, TURN, AccountKeys, bucket

# For a number of nodes with equal slots: the fewest and the most of the 256 buckets that one node has.
SPREAD = {2: (126, 130), 3: (83, 89), 4: (62, 66), 6: (38, 51), 9: (25, 30), 12: (15, 28)}


def _slot(key: str) -> int:
    return key_slot(key.encode())


def test_buckets_spread_evenly_over_the_nodes() -> None:
    """Each bucket has its own slot, and nodes with equal slots have about equally many buckets (SPREAD)."""
    slots = {_slot(AccountKeys(tag).due) for tag in BUCKETS}
    assert len(slots) == len(BUCKETS)
    for nodes, spread in SPREAD.items():
        counts = Counter(slot * nodes // REDIS_CLUSTER_HASH_SLOTS for slot in slots)
        assert (nodes, (min(counts.values()), max(counts.values()))) == (nodes, spread)


def test_all_keys_of_an_account_have_one_slot() -> None:
    """All keys of an account are in its bucket's slot, and TURN is in a slot of no bucket."""
    account = "AC" + "0123456789abcdef" * 2
    keys = AccountKeys(account)
    found = [getattr(keys, name) for name in keys.__slots__]
    assert {_slot(key) for key in found} == {_slot(AccountKeys(bucket(account)).due)}
    assert _slot(TURN) not in {_slot(AccountKeys(tag).due) for tag in BUCKETS}


def test_friendly_names_share_keys_that_stay_small() -> None:
    """100,000 FriendlyNames share at most 16,384 keys with fewer than 25 names each."""
    keys = AccountKeys(f"AC{'5' * 32}")
    shared = Counter(keys.named(f"Support line {number}") for number in range(100_000))
    assert 16_000 < len(shared) <= 16_384
    assert max(shared.values()) < 25
