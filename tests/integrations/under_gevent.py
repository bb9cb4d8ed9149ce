"""Deadlines, and slow targets that must not delay others. Run by test_under_gevent.py in a patched process."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

import gevent
import pytest
from gevent import monkey

from router.integrations import Failure, Integrations, build
from router.integrations.base import AttemptError
from router.integrations.resolver import AddressInfo, Resolver
from router.settings import Settings
from tests.integrations.sending import ACCOUNT_SID, STUDIO_SID, attempt, dialer, flow, info, meanwhile
from tests.integrations.target import Caller, Target, drip, hang

assert monkey.is_module_patched("socket"), "run test_under_gevent.py"

SOON = 0.15  # seconds until an attempt's deadline


def _ended(act: Callable[[], object]) -> AttemptError:
    """Let the deadline pass during `act`, and return the reported error."""
    with gevent.Timeout(SOON), pytest.raises(AttemptError) as caught:
        act()
    return caught.value


def test_a_deadline_after_the_request_was_sent_is_unknown(
    senders: Integrations, made: Settings, target: Target
) -> None:
    """An attempt that the deadline ends after the request was sent is unknown, and its connection is closed."""
    gone = []

    def wait(caller: Caller) -> bool:
        caller.wait_for_end()
        gone.append(caller)
        return False

    target.script["/"] = wait
    error = _ended(lambda: senders.send(attempt(made, flow("external", url=target.url()))))
    assert (error.failure, error.status) == (Failure.UNKNOWN, None)
    meanwhile(lambda: gone)


def test_a_head_that_drips_past_the_deadline_is_unknown(senders: Integrations, made: Settings, target: Target) -> None:
    """An attempt whose answer's head is still dripping at the deadline is unknown."""
    target.script["/"] = drip(b"HTTP/1.1 200 OK\r\nX: ", b"x")
    error = _ended(lambda: senders.send(attempt(made, flow("external", url=target.url()))))
    assert error.failure is Failure.UNKNOWN


def test_a_body_that_drips_past_the_deadline_is_left_out(senders: Integrations, made: Settings, target: Target) -> None:
    """If a 2xx answer's body is still dripping at the deadline, the message is delivered without the body."""
    target.script["/"] = drip(b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 60000\r\n\r\n", b"x")
    with gevent.Timeout(SOON):
        answer = senders.send(attempt(made, flow("external", url=target.url())))
    assert (answer.status, answer.content_type, answer.body) == (200, "", b"")


def test_after_a_dripping_403_no_other_token_is_tried(senders: Integrations, made: Settings, target: Target) -> None:
    """A 403 whose body is still dripping at the deadline ends the attempt without a second request."""
    path = f"/v1/Accounts/{ACCOUNT_SID}/Flows/{STUDIO_SID}"
    target.script[path] = drip(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 60000\r\n\r\n", b"x")
    error = _ended(lambda: senders.send(attempt(made, flow("studio", flow_sid=STUDIO_SID))))
    assert (error.failure, error.status) == (Failure.PERMANENT, 403)
    assert [request.target for request in target.requests] == [path]


@pytest.fixture
def deaf() -> Iterator[int]:
    """A port whose connection queue is full, so that a further connection gets no answer."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port: int = listener.getsockname()[1]
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        yield port


def test_a_deadline_while_connecting_is_a_refusal(senders: Integrations, made: Settings, deaf: int) -> None:
    """An attempt that the deadline ends while it connects is a refusal."""
    to = flow("external", url=f"http://127.0.0.1:{deaf}/")
    assert _ended(lambda: senders.send(attempt(made, to))).failure is Failure.REFUSED


def test_a_deadline_during_the_tls_handshake_is_a_refusal(senders: Integrations, made: Settings) -> None:
    """An attempt that the deadline ends during the TLS handshake is a refusal."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        to = flow("external", url=f"https://127.0.0.1:{silent.getsockname()[1]}/")
        assert _ended(lambda: senders.send(attempt(made, to))).failure is Failure.REFUSED


def test_fifty_attempts_at_a_hanging_target_do_not_delay_another(
    senders: Integrations, made: Settings, target: Target
) -> None:
    """Fifty attempts at a hanging target do not delay one at another target."""
    target.script["/"] = hang
    to = flow("external", url=target.url())
    stuck = [gevent.spawn(senders.send, attempt(made, to)) for _ in range(50)]
    meanwhile(lambda: len(target.requests) == 50)
    with Target() as other, gevent.Timeout(10):
        assert senders.send(attempt(made, flow("external", url=other.url()))).status == 200
    gevent.killall(stuck)


def test_look_ups_of_dead_names_do_not_delay_another(made: Settings, target: Target) -> None:
    """Look-ups of dead names do not delay another name's, and equal names are looked up once."""
    read, write = os.pipe()
    asked = []

    def lookup(host: str, port: int) -> list[AddressInfo]:
        asked.append(host)
        if host != "target.test":
            os.read(read, 1)  # blocks the native thread as getaddrinfo does
            raise OSError(-3, "Temporary failure in name resolution")
        return [info("127.0.0.1", port)]

    senders = build(made, {}, dialer=replace(dialer(made), resolver=Resolver(lookup)))
    names = [f"dead{number}.test" for number in range(10)] + ["dead.test"] * 10
    stuck = [gevent.spawn(senders.send, attempt(made, flow("external", url=f"http://{name}/"))) for name in names]
    meanwhile(lambda: len(asked) == 11)
    with gevent.Timeout(10):
        to = flow("external", url=target.url(host="target.test"))
        assert senders.send(attempt(made, to)).status == 200
        assert not any(greenlet.ready() for greenlet in stuck)
        os.write(write, b"x" * 11)
        for greenlet in stuck:
            with pytest.raises(AttemptError, match="cannot be resolved"):
                greenlet.get()
    assert sorted(asked) == sorted({*names, "target.test"})
    os.close(read)
    os.close(write)
    senders.close()


def test_a_deadline_during_a_look_up_is_a_refusal(made: Settings) -> None:
    """An attempt that the deadline ends during a look-up is a refusal."""
    read, write = os.pipe()

    def lookup(host: str, port: int) -> list[AddressInfo]:
        os.read(read, 1)
        return [info(host, port)]

    senders = build(made, {}, dialer=replace(dialer(made), resolver=Resolver(lookup)))
    error = _ended(lambda: senders.send(attempt(made, flow("external", url="http://dead.test/"))))
    assert error.failure is Failure.REFUSED
    os.write(write, b"x")
    meanwhile(lambda: not senders.http._dialer.resolver._flights)
    os.close(read)
    os.close(write)


def test_a_killed_greenlet_leaves_no_connection(senders: Integrations, made: Settings, target: Target) -> None:
    """A greenlet that is killed during an attempt leaves no open connection."""
    target.script["/"] = hang
    sending = gevent.spawn(senders.send, attempt(made, flow("external", url=target.url())))
    meanwhile(lambda: target.requests)
    sending.kill()
    meanwhile(lambda: not target._open)
