import timeit
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.flow.flex_flow import FlexFlow
from router.message.inbound import Message
from router.routing.resolve import Entry, Route, identities, resolve
from tests.core.flows import AC, flow

OURS, SERVICE = "whatsapp:+15551234567", "MG" + "5" * 32
MESSAGE = Message(AC, "SM" + "1" * 32, "whatsapp:+15557654321", OURS, "whatsapp", "Hola")
SERVED = replace(MESSAGE, messaging_service_sid=SERVICE)


def _flow(digit: str, identity: str = OURS, channel_type: str = "whatsapp", **more: str) -> FlexFlow:
    return flow({"ChannelType": channel_type, "ContactIdentity": identity} | more, sid="FO" + digit * 32)


def _route(message: Message, *flows: FlexFlow) -> Route:
    """Resolve with the entries that the store returns: those of the message's identities, in their order."""
    return resolve(message, _entries(message, flows))


def _entries(message: Message, flows: Sequence[FlexFlow]) -> list[Entry]:
    entries = []
    for identity in identities(message):
        own = tuple(each for each in flows if each.contact_identity == identity)
        entries.append(Entry(identity, "v" if own else "", own))
    return entries


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param(MESSAGE, (OURS, "*"), id="a number"),
        pytest.param(SERVED, (OURS, SERVICE, "*"), id="a Messaging Service"),
        pytest.param(replace(MESSAGE, to="WhatsApp: +1 555-123-4567"), (OURS, "*"), id="another spelling"),
    ],
)
def test_the_identities_that_a_flow_is_looked_up_by(message: Message, expected: tuple[str, ...]) -> None:
    """A flow is looked up by the canonical `To` address, then the Messaging Service, then `*`."""
    assert identities(message) == expected


def test_the_nearest_identity_wins() -> None:
    """A flow for the address wins over one for the Messaging Service, and that over one for `*`."""
    address, service, every = _flow("1"), _flow("2", SERVICE), _flow("3", "*")
    assert _route(SERVED, every, service, address).flow == address
    assert _route(SERVED, every, service).flow == service
    assert _route(SERVED, every).flow == every
    assert _route(MESSAGE, every, service).flow == every


def test_priority_then_age_then_sid_decides() -> None:
    """Of the flows of one address the smallest Priority wins, then the oldest, then the smallest SID."""
    late, early = replace(_flow("2"), date_created=20), replace(_flow("3"), date_created=10)
    assert _route(MESSAGE, late, early).flow == early
    assert _route(MESSAGE, late, replace(early, priority=1)).flow == late
    assert _route(MESSAGE, late, replace(early, date_created=20)).flow == late


def test_flows_of_other_channels_are_named_only_for_an_unrouted_message() -> None:
    """The steps name the flows of other channels only if no flow takes the message."""
    other, every = _flow("1", channel_type="rcs", identity="*"), _flow("2", "*")
    assert _route(MESSAGE, other, every).flow == every
    assert not any(other.sid in step for step in _route(MESSAGE, other, every).steps)
    assert f"{other.sid} not taken: for rcs" in _route(MESSAGE, other).steps


@pytest.mark.parametrize(
    ("refused", "why"),
    [
        pytest.param(_flow("1", Enabled="false"), "disabled", id="disabled"),
        pytest.param(_flow("1", Language="sv"), "no language is decided", id="language"),
        pytest.param(_flow("1", Match="num_media > 0"), "its Match is false", id="match"),
    ],
)
def test_a_flow_that_is_not_taken_is_named_with_the_reason(refused: FlexFlow, why: str) -> None:
    """The steps name each flow that was not taken, with the reason."""
    every = _flow("2", "*")
    route = _route(MESSAGE, refused, every)
    assert route.flow == every
    assert f"{refused.sid} not taken: {why}" in route.steps
    assert _route(MESSAGE, refused).flow is None


@pytest.mark.parametrize(
    ("message", "flows", "reason"),
    [
        pytest.param(MESSAGE, [], f"no flow for {OURS} (nor for *)", id="nothing"),
        pytest.param(SERVED, [], f"no flow for {OURS} (nor for {SERVICE}, nor for *)", id="nothing, with a service"),
        pytest.param(
            MESSAGE,
            [_flow("1", Enabled="false")],
            f"the only whatsapp flow for {OURS} (FO{'1' * 32}) is disabled",
            id="one that is disabled",
        ),
        pytest.param(
            MESSAGE,
            [_flow("1", "*", "sms"), _flow("2", "*", "rcs")],
            "no whatsapp flow for *, only for rcs, sms",
            id="other channels",
        ),
        pytest.param(
            MESSAGE,
            [_flow("1", Enabled="false"), _flow("2", "*", Language="sv")],
            f"none of the 2 whatsapp flows for {OURS} and * takes this message, and there is no enabled one without "
            "Language and Match that takes the rest",
            id="several",
        ),
        pytest.param(
            MESSAGE,
            [_flow("1", Enabled="false"), _flow("2", "*", Enabled="false")],
            f"none of the 2 whatsapp flows for {OURS} and * is enabled",
            id="several, all disabled",
        ),
        pytest.param(
            MESSAGE,
            [_flow("1", Language="de")],
            f"the only whatsapp flow for {OURS} (FO{'1' * 32}) is for other messages: its Language or Match is not "
            "this one's",
            id="one that has a condition",
        ),
    ],
)
def test_an_unrouted_message_has_a_reason(message: Message, flows: list[FlexFlow], reason: str) -> None:
    """The reason of an unrouted message says which flow is missing, or why the existing ones do not take it."""
    route = _route(message, *flows)
    assert (route.flow, route.reason) == (None, reason)


def test_a_paused_flow_is_chosen() -> None:
    """A paused flow is chosen, and the last step says that it is paused."""
    route = _route(MESSAGE, _flow("1", Paused="true"))
    assert route.flow is not None
    assert "paused" in route.steps[-1]
    assert route.reason == ""


def test_a_route_names_the_entries_it_came_from() -> None:
    """A route has exactly the entries that it depends on, with their versions."""
    address, service = _flow("1"), _flow("2", SERVICE)
    assert [entry.identity for entry in _route(SERVED, address, service).entries] == [OURS]
    assert [(entry.identity, entry.version) for entry in _route(SERVED, service).entries] == [
        (OURS, ""),
        (SERVICE, "v"),
    ]
    assert [entry.identity for entry in _route(SERVED).entries] == [OURS, SERVICE, "*"]


def test_a_route_has_a_choice_only_with_an_enabled_language_or_match() -> None:
    """A route leaves a choice to `accept` only if an enabled flow of its entries has a Language or Match."""
    assert _route(MESSAGE, _flow("1")).choice is None
    assert _route(MESSAGE, _flow("1"), _flow("2", Language="sv")).choice is not None
    assert _route(MESSAGE, _flow("1"), _flow("2", Language="sv", Enabled="false")).choice is None
    assert _route(MESSAGE, _flow("1", "*"), _flow("2", Match="num_media > 0")).choice is not None


@pytest.mark.parametrize("flows", [[_flow("1")], [_flow("1", "*")]], ids=["address", "every address"])
def test_the_steps_of_a_usual_route_are_short(flows: list[FlexFlow]) -> None:
    """The steps of a typical route, stored with each message, take at most 150 bytes."""
    steps = _route(MESSAGE, *flows).steps
    assert flows[0].sid in steps[-1]
    assert len("\n".join(steps).encode()) <= 150


def test_the_steps_of_a_crowded_address_are_short() -> None:
    """Of many flows that were not taken for the same reason, the steps give only the number."""
    crowd = [replace(_flow("2", Language="sv"), sid=f"FO{n:032x}") for n in range(50)]
    route = _route(MESSAGE, _flow("1"), *crowd)
    assert any("50 flows not taken" in step for step in route.steps)
    assert len(route.steps) < 8


@given(st.permutations([_flow("1", Enabled="false"), _flow("2"), _flow("3", Language="sv"), _flow("4", "*")]))
def test_the_order_of_an_entrys_flows_does_not_matter(flows: list[FlexFlow]) -> None:
    """The route is the same in whichever order the store returns an entry's flows."""
    route, sorted_ = _route(MESSAGE, *flows), _route(MESSAGE, *sorted(flows, key=lambda each: each.sid))
    assert route == replace(sorted_, entries=route.entries)


def test_resolving_with_one_flow_takes_less_than_50_microseconds() -> None:
    """Resolving a message with one flow takes less than 50 µs."""
    entries = _entries(MESSAGE, [_flow("1")])
    best = min(timeit.repeat(lambda: resolve(MESSAGE, entries), number=200, repeat=20))
    assert best / 200 < 50e-6
