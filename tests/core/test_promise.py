"""What the store reports about its version, its disk and its replicas, and when the router refuses it."""

import pytest

from router.store.durability import Finding, _appendfsync, _version, refusal, warning


@pytest.mark.parametrize(
    ("facts", "value", "good"),
    [
        ({"redis_version": "7.0.15"}, "redis 7.0.15", True),
        ({"redis_version": "7.2.4", "valkey_version": "9.1-rc1"}, "valkey 9.1-rc1", True),
        ({"redis_version": "7.2.4", "valkey_version": "8"}, "valkey 8", True),
        ({"redis_version": "255.255.255"}, "redis 255.255.255", True),
        ({"redis_version": "7.0-alpine+3"}, "redis 7.0-alpine+3", True),
        ({"redis_version": "6.2.14"}, "redis 6.2.14", False),
        ({"redis_version": "7.2.4", "valkey_version": "7.1-rc1"}, "valkey 7.1-rc1", False),
    ],
)
def test_a_version_is_read_in_any_form(facts: dict[str, str], value: str, good: bool) -> None:
    """A version with letters after the number is read, and one that is too old is refused."""
    found = _version(facts)
    assert (found.value, found.good, found.fatal) == (value, good, True)
    assert bool(refusal([found])) is not good


@pytest.mark.parametrize("facts", [{"redis_version": "unstable"}, {"redis_version": ""}, {}, {"server_name": "valkey"}])
def test_an_unreadable_version_is_a_warning_only(facts: dict[str, str]) -> None:
    """A store whose version cannot be read is used, with a warning."""
    found = _version(facts)
    assert not found.good
    assert not refusal([found])
    assert "does not show its version" in warning([found])


def test_a_missing_replica_is_no_refusal() -> None:
    """A missing replica is neither a refusal nor a warning at start."""
    missing = Finding("replicas", "0 connected", good=False, advice="connect one", fatal=True)
    assert (refusal([missing]), warning([missing])) == ("", "")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (
            "everysec",
            "appendfsync is everysec: set appendfsync always: a crash of the store's machine loses a second of",
        ),
        ("no", "appendfsync is no: set appendfsync always: a crash of the store's machine loses half a minute of"),
    ],
)
def test_appendfsync_other_than_always_is_a_warning(value: str, says: str) -> None:
    """A store that does not write to disk before it answers is used, with a warning of how much a crash loses."""
    found = _appendfsync({"appendfsync": value})
    assert not refusal([found])
    assert says in warning([found])
