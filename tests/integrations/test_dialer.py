"""The dialer: which addresses a sender may connect to, and under which host name."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from router.integrations import Failure, Integrations, build
from router.integrations.base import AttemptError
from router.integrations.dialer import make_dialer
from router.integrations.resolver import AddressInfo, Resolver
from router.settings import Settings
from tests.integrations.sending import STUDIO_SID, attempt, dialer, flow, info, integrations, settings
from tests.integrations.target import Target


@pytest.fixture
def secure() -> Iterator[Target]:
    """A target with TLS and the certificate of target.test."""
    with Target(tls=True) as running:
        yield running


def _refusal(senders: Integrations, made: Settings, url: str) -> str:
    with pytest.raises(AttemptError) as caught:
        senders.send(attempt(made, flow("external", url=url)))
    assert caught.value.failure is Failure.REFUSED
    return caught.value.reason


def _guarded(target: Target, **environ: str) -> Settings:
    """Make settings that allow no private network."""
    return settings(target.url().rstrip("/"), **{"ROUTER_ALLOWED_NETWORKS": "", **environ})


HOSTS = ("127.0.0.1", "2130706433", "0x7f.1", "127.1", "0177.0.0.1", "[::ffff:127.0.0.1]", "[::1]", "0", "localhost")


@pytest.mark.parametrize("host", HOSTS)
def test_a_private_address_is_refused_in_any_notation(host: str, target: Target) -> None:
    """A private address is refused in any notation, without a connection."""
    made = _guarded(target)
    senders = build(made, {})
    assert "ROUTER_ALLOWED_NETWORKS" in _refusal(senders, made, target.url(host=host))
    assert target.connections == 0


def test_a_name_with_a_private_address_is_refused(target: Target) -> None:
    """A name that resolves to private addresses is refused, without a connection."""
    made = _guarded(target)
    senders = integrations(made, target_test="127.0.0.1 10.0.0.1 ::1")
    assert "ROUTER_ALLOWED_NETWORKS" in _refusal(senders, made, target.url(host="target.test"))
    assert target.connections == 0


def test_only_the_allowed_addresses_of_a_name_are_tried(target: Target) -> None:
    """Of a name's addresses only the allowed ones are tried."""
    made = _guarded(target, ROUTER_ALLOWED_NETWORKS="127.0.0.2/32")
    senders = integrations(made, target_test="127.0.0.1 127.0.0.2")
    assert "cannot be connected to" in _refusal(senders, made, target.url(host="target.test"))
    assert target.connections == 0


def test_the_next_address_is_tried(made: Settings, target: Target) -> None:
    """If one address of a name accepts no connection, the next one is tried."""
    senders = integrations(made, target_test="127.0.0.2 127.0.0.1")
    assert senders.send(attempt(made, flow("external", url=target.url(host="target.test")))).status == 200
    senders.close()


def test_a_name_is_resolved_once_per_connection(target: Target) -> None:
    """The address that was judged is the one connected to, as the name is resolved once per connection."""
    made = _guarded(target, ROUTER_ALLOWED_NETWORKS="127.0.0.2/32")
    answers = ["127.0.0.2", "127.0.0.1"]

    def lookup(_: str, port: int) -> list[AddressInfo]:
        return [info(answers.pop(0), port)]

    senders = build(made, {}, dialer=replace(dialer(made), resolver=Resolver(lookup)))
    assert "cannot be connected to" in _refusal(senders, made, target.url(host="target.test"))
    assert (answers, target.connections) == (["127.0.0.1"], 0)


def test_the_operators_base_url_is_not_judged(target: Target) -> None:
    """A base URL set by the operator may be private, for the integrations that use it and no others."""
    made = _guarded(target)
    senders = integrations(made)
    assert senders.send(attempt(made, flow("studio", flow_sid=STUDIO_SID))).status == 200
    assert "ROUTER_ALLOWED_NETWORKS" in _refusal(senders, made, target.url())
    assert target.connections == 1
    senders.close()


def test_a_name_with_a_public_address_of_this_machine_is_refused(target: Target) -> None:
    """A name that resolves to a public address of this machine is refused."""
    made = _guarded(target)
    dialer_of_8 = replace(dialer(made, target_test="8.8.8.8"), is_own=lambda address: address == "8.8.8.8")
    senders = build(made, {}, dialer=dialer_of_8)
    assert "on the router's own machine" in _refusal(senders, made, target.url(host="target.test"))


def test_the_router_does_not_deliver_to_itself(target: Target) -> None:
    """A target at the router's public URL or at its own listening address is refused."""
    made = settings(ROUTER_PUBLIC_URL=f"https://me.test,{target.url()}prefix", ROUTER_BIND="127.0.0.9:8000")
    senders = integrations(made, me_test="127.0.0.1")
    for url in (target.url("/webhooks/sms"), "https://ME.test/other", "http://127.0.0.9:8000/"):
        assert "is the router itself" in _refusal(senders, made, url)
    assert target.connections == 0


def test_the_public_host_is_refused_at_the_default_port_too() -> None:
    """The public URL's host is refused at the scheme's default port too, and allowed at another."""
    made = settings(ROUTER_PUBLIC_URL="https://me.test:8443")
    senders = integrations(made, me_test="127.0.0.1")
    assert "is the router itself" in _refusal(senders, made, "https://me.test/webhooks/sms")
    assert "cannot be connected to" in _refusal(senders, made, "https://me.test:1/webhooks/sms")


def test_an_unknown_name_is_refused(made: Settings) -> None:
    """A name that does not exist is a refusal."""
    assert "cannot be resolved" in _refusal(integrations(made), made, "http://nowhere.test/")


def test_tls_and_host_header_use_the_name(made: Settings, secure: Target) -> None:
    """TLS server name and Host header are the target's name, and the connection is reused."""
    senders = integrations(made, target_test="127.0.0.1")
    url = secure.url("/hook", host="target.test")
    for _ in range(2):
        assert senders.send(attempt(made, flow("external", url=url))).status == 200
    assert secure.server_names == ["target.test"]
    assert secure.requests[0].header("Host") == f"target.test:{secure.port}"
    assert secure.connections == 1
    senders.close()


def test_an_invalid_certificate_is_refused(made: Settings, secure: Target, target: Target) -> None:
    """A certificate of another name or an unknown authority is refused, as is a target without TLS."""
    senders = integrations(made, target_test="127.0.0.1", other_test="127.0.0.1")
    assert "valid certificate" in _refusal(senders, made, secure.url(host="other.test"))
    strict = build(made, {}, dialer=make_dialer(made))
    assert "valid certificate" in _refusal(strict, made, secure.url())
    assert "TLS" in _refusal(senders, made, target.url(host="target.test").replace("http:", "https:"))
    assert secure.requests == target.requests == []
