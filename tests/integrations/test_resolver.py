"""Looking up names: each name once at a time, for a limited time, in threads of our own."""

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
    """Name servers and a clock: `dead` names block until `release`, unknown names fail."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}
        self.asked: list[str] = []
        self.now = 100.0
        self._read, self._write = os.pipe()

    def lookup(self, host: str, port: int) -> list[AddressInfo]:
        """Answer in the form of getaddrinfo."""
        self.asked.append(host)
        if host.startswith("dead"):
            os.read(self._read, 1)
            return [info(self.known.get(host, "192.0.2.9"), port)]
        if host not in self.known:
            raise OSError(-2, "Name or service not known")
        return [info(self.known[host], port)]

    def release(self) -> None:
        """Let all dead names be answered."""
        os.write(self._write, b"x" * THREADS_MOST)

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._read)
        os.close(self._write)


@pytest.fixture
def names() -> Iterator[Names]:
    """Name servers without names."""
    made = Names()
    yield made
    made.close()


@pytest.fixture
def resolver(names: Names) -> Resolver:
    """A resolver that uses these name servers."""
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
    """Start look-ups, and return when the name servers have been asked for each name."""
    begun = [gevent.spawn(resolver.resolve, host, 80, account_sid=account_sid) for host in hosts]
    meanwhile(lambda: set(hosts) <= set(names.asked))
    return begun


def test_a_name_is_looked_up_for_each_connection(resolver: Resolver, names: Names) -> None:
    """A name is looked up for each new connection, so that a change is used at once."""
    names.known["a.test"] = "192.0.2.1"
    assert resolver.resolve("a.test", 80) == [info("192.0.2.1", 80)]
    names.known["a.test"] = "192.0.2.2"
    assert resolver.resolve("a.test", 80) == [info("192.0.2.2", 80)]


def test_failure_is_remembered_for_a_moment(resolver: Resolver, names: Names) -> None:
    """A name that failed is not looked up again for two seconds."""
    for _ in range(3):
        assert "cannot be resolved" in _refusal(lambda: resolver.resolve("a.test", 80))
    assert names.asked == ["a.test"]
    names.known["a.test"] = "192.0.2.1"
    names.now += NEGATIVE_SECONDS
    assert resolver.resolve("a.test", 80)


def test_simultaneous_look_ups_of_a_name_are_one(resolver: Resolver, names: Names) -> None:
    """Twenty simultaneous requests for a name are one look-up."""
    names.known["dead.test"] = "192.0.2.1"
    begun = _begin(resolver, names, *["dead.test"] * 20)
    names.release()
    assert [greenlet.get(timeout=10) for greenlet in begun] == [[info("192.0.2.1", 80)]] * 20
    assert names.asked == ["dead.test"]


def test_a_look_up_is_refused_after_five_seconds(resolver: Resolver, names: Names) -> None:
    """A look-up is refused after five seconds, and no second one starts while it lasts."""
    begun = _begin(resolver, names, "dead.test")
    names.now += LOOKUP_SECONDS
    assert "no name server answered" in _refusal(lambda: resolver.resolve("dead.test", 80))
    names.now += NEGATIVE_SECONDS
    assert "no name server answered" in _refusal(lambda: resolver.resolve("dead.test", 80))
    names.release()
    gevent.joinall(begun, timeout=10)
    assert names.asked == ["dead.test"]


def test_an_account_has_half_of_the_threads(resolver: Resolver, names: Names) -> None:
    """An account with many silent name servers is refused further names; other accounts and Twilio's names are not."""
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
    assert resolver.resolve("a.test", 80, account_sid="ACone"), "the refusal is not remembered for the name"
    assert not resolver._under_way


def test_an_account_without_a_running_look_up_may_start_one(resolver: Resolver, names: Names) -> None:
    """Each account may start one look-up although others wait for theirs, until THREADS_MOST run."""
    begun = []
    for number in range(THREADS_MOST):
        begun += _begin(resolver, names, f"dead{number}.test", account_sid=f"AC{number}")
    assert "too many names" in _refusal(lambda: resolver.resolve("a.test", 80, account_sid="ACmore"))
    names.release()
    gevent.joinall(begun, timeout=10)


def test_another_thread_can_look_up_names(resolver: Resolver, names: Names) -> None:
    """A plain thread besides gevent's can look up names."""
    names.known["a.test"] = "192.0.2.1"
    resolver.resolve("a.test", 80)
    found: list[list[AddressInfo]] = []
    thread = threading.Thread(target=lambda: found.append(resolver.resolve("a.test", 80)))
    thread.start()
    thread.join(10)
    assert found == [[info("192.0.2.1", 80)]]


ODD = {"a label too long": "a" * 64 + ".test", "an empty label": "a..test", "a null": "a\0.test", "a space": "a b.test"}


@pytest.mark.parametrize("host", ODD.values(), ids=ODD.keys())
def test_an_impossible_name_is_refused(host: str) -> None:
    """A name that the system's resolver cannot look up is refused."""
    assert _refusal(lambda: Resolver().resolve(host, 80))
