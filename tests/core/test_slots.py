"""How the accounts' keys spread over the slots of a Cluster."""

from collections import Counter

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from router.store.keys import BUCKETS, TURN, AccountKeys, bucket

# Of so many nodes, which share the slots evenly: how many of the 256 buckets the node with the fewest, the most has.
SPREAD = {2: (126, 130), 3: (83, 89), 4: (62, 66), 6: (38, 51), 9: (25, 30), 12: (15, 28)}


def _slot(key: str) -> int:
    return key_slot(key.encode())


def test_buckets_spread_evenly_over_the_nodes() -> None:
    """Each bucket has a slot of its own, and three nodes that share the slots evenly have 83 to 89 buckets each."""
    slots = {_slot(AccountKeys(tag).due) for tag in BUCKETS}
    assert len(slots) == len(BUCKETS)
    for nodes, spread in SPREAD.items():
        counts = Counter(slot * nodes // REDIS_CLUSTER_HASH_SLOTS for slot in slots)
        assert (nodes, (min(counts.values()), max(counts.values()))) == (nodes, spread)


def test_all_keys_of_an_account_have_one_slot() -> None:
    """Whatever is kept of an account is in its bucket's slot, and what is the router's own in a slot of no bucket."""
    account = "AC" + "0123456789abcdef" * 2
    keys = AccountKeys(account)
    found = [getattr(keys, name) for name in keys.__slots__]
    assert {_slot(key) for key in found} == {_slot(AccountKeys(bucket(account)).due)}
    assert _slot(TURN) not in {_slot(AccountKeys(tag).due) for tag in BUCKETS}


def test_friendly_names_share_keys_that_stay_small() -> None:
    """A hundred thousand names are six for each key; of a million 61, and the compact encoding ends at 128."""
    keys = AccountKeys(f"AC{'5' * 32}")
    shared = Counter(keys.named(f"Support line {number}") for number in range(100_000))
    assert 16_000 < len(shared) <= 16_384
    assert max(shared.values()) < 25
