"""Looking names up: once at a time, for a limited time, in threads of our own."""

import os
import threading
from collections.abc import Callable, Iterator

import gevent
import pytest

from router.integrations import Failure
from router.integrations.base import AttemptError
from router.integrations.resolver import LOOKUP_SECONDS, NEGATIVE_SECONDS, THREADS, THREADS_MOST, AddressInfo, Resolver
from tests.integrations.sending import info, meanwhile


class Names:
    """Name servers and a clock of our own: `dead` names take until `release`, other names not known fail."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}
        self.asked: list[str] = []
        self.now = 100.0
        self._read, self._write = os.pipe()

    def lookup(self, host: str, port: int) -> list[AddressInfo]:
        """Answer as getaddrinfo does."""
        self.asked.append(host)
        if host.startswith("dead"):
            os.read(self._read, 1)
            return [info(self.known.get(host, "192.0.2.9"), port)]
        if host not in self.known:
            raise OSError(-2, "Name or service not known")
        return [info(self.known[host], port)]

    def release(self) -> None:
        """Let every dead name have its end."""
        os.write(self._write, b"x" * THREADS_MOST)

    def close(self) -> None:
        """End."""
        os.close(self._read)
        os.close(self._write)


@pytest.fixture
def names() -> Iterator[Names]:
    """Name servers."""
    made = Names()
    yield made
    made.close()


@pytest.fixture
def resolver(names: Names) -> Resolver:
    """A resolver that asks them."""
    return Resolver(names.lookup, lambda: names.now)


def _refusal(act: Callable[[], object]) -> str:
    with pytest.raises(AttemptError) as caught:
        act()
    assert caught.value.failure is Failure.REFUSED
    assert caught.value.unreachable != ("too many names" in caught.value.reason)
    return caught.value.reason


def _begin(
    resolver: Resolver, names: Names, *hosts: str, account_sid: str = ""
) -> "list[gevent.Greenlet[..., list[AddressInfo]]]":
    """Begin looking names up, and return when the name servers have been asked for all of them."""
    begun = [gevent.spawn(resolver.resolve, host, 80, account_sid=account_sid) for host in hosts]
    meanwhile(lambda: set(hosts) <= set(names.asked))
    return begun


def test_found(resolver: Resolver, names: Names) -> None:
    """A name is looked up for every new connection, so that a change is seen at once."""
    names.known["a.test"] = "192.0.2.1"
    assert resolver.resolve("a.test", 80) == [info("192.0.2.1", 80)]
    names.known["a.test"] = "192.0.2.2"
    assert resolver.resolve("a.test", 80) == [info("192.0.2.2", 80)]


def test_failure_is_remembered_for_a_moment(resolver: Resolver, names: Names) -> None:
    """A name that failed is not asked for again for two seconds, and then it is."""
    for _ in range(3):
        assert "cannot be resolved" in _refusal(lambda: resolver.resolve("a.test", 80))
    assert names.asked == ["a.test"]
    names.known["a.test"] = "192.0.2.1"
    names.now += NEGATIVE_SECONDS
    assert resolver.resolve("a.test", 80)


def test_joined(resolver: Resolver, names: Names) -> None:
    """Whoever asks for a name that is being looked up waits for that look-up."""
    names.known["dead.test"] = "192.0.2.1"
    begun = _begin(resolver, names, *["dead.test"] * 20)
    names.release()
    assert [greenlet.get(timeout=10) for greenlet in begun] == [[info("192.0.2.1", 80)]] * 20
    assert names.asked == ["dead.test"]


def test_time_limit(resolver: Resolver, names: Names) -> None:
    """No message waits for a look-up that has taken five seconds; while it lasts no second one begins."""
    begun = _begin(resolver, names, "dead.test")
    names.now += LOOKUP_SECONDS
    assert "no name server answered" in _refusal(lambda: resolver.resolve("dead.test", 80))
    names.now += NEGATIVE_SECONDS
    assert "no name server answered" in _refusal(lambda: resolver.resolve("dead.test", 80))
    names.release()
    gevent.joinall(begun, timeout=10)
    assert names.asked == ["dead.test"]


def test_an_account_has_half_of_the_threads(resolver: Resolver, names: Names) -> None:
    """One whose name servers are silent is refused a further name, but no other account, and not Twilio's names."""
    names.known |= dict.fromkeys(("a.test", "quick.test", "twilio.test"), "192.0.2.1")
    begun = _begin(resolver, names, *(f"dead{number}.test" for number in range(THREADS // 2)), account_sid="ACone")
    assert "too many names" in _refusal(lambda: resolver.resolve("a.test", 80, account_sid="ACone"))
    begun += _begin(
        resolver, names, *(f"dead-two-{number}.test" for number in range(THREADS // 4)), account_sid="ACtwo"
    )
    assert "too many names" in _refusal(lambda: resolver.resolve("a.test", 80, account_sid="ACtwo"))
    assert resolver.resolve("quick.test", 80, account_sid="ACthree")
    assert resolver.resolve("twilio.test", 80)
    names.release()
    gevent.joinall(begun, timeout=10, raise_error=False)
    assert resolver.resolve("a.test", 80, account_sid="ACone"), (
        "that says nothing about the name, and is not remembered"
    )
    assert not resolver._under_way


def test_an_account_without_a_look_up_begins_one_whatever_others_have(resolver: Resolver, names: Names) -> None:
    """Where many accounts' name servers are silent, one that has none under way is not refused."""
    begun = []
    for number in range(THREADS_MOST):
        begun += _begin(resolver, names, f"dead{number}.test", account_sid=f"AC{number}")
    assert "too many names" in _refusal(lambda: resolver.resolve("a.test", 80, account_sid="ACmore"))
    names.release()
    gevent.joinall(begun, timeout=10)


def test_other_thread(resolver: Resolver, names: Names) -> None:
    """A plain thread beside the one that greenlets share can look names up too."""
    names.known["a.test"] = "192.0.2.1"
    resolver.resolve("a.test", 80)
    found: list[list[AddressInfo]] = []
    thread = threading.Thread(target=lambda: found.append(resolver.resolve("a.test", 80)))
    thread.start()
    thread.join(10)
    assert found == [[info("192.0.2.1", 80)]]


ODD = {"a label too long": "a" * 64 + ".test", "an empty label": "a..test", "a null": "a\0.test", "a blank": "a b.test"}


@pytest.mark.parametrize("host", ODD.values(), ids=ODD.keys())
def test_no_name(host: str) -> None:
    """What the system's resolver cannot even ask for is refused like a name that is not there."""
    assert _refusal(lambda: Resolver().resolve(host, 80))
