"""A rehearsal routes messages as the store does: each to the same flow, in the same order."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.language.evidence import OTHER
from router.message.inbound import Message, conversation_id
from router.routing.rehearsal import Rehearsal
from router.routing.resolve import Circumstance, disposition, facts, identities, resolve
from router.store import Store, connect
from router.store.lanes import new_token
from tests.core.flows import AC, flow
from tests.integrations import sending
from tests.valkey import ValkeyServer

OURS, OTHERS = "whatsapp:+15551234567", "whatsapp:+15551234568"
PHONE, USER_ID = "whatsapp:+819012345678", "whatsapp:JP.13491208655302741918"
HOURS = 24.0
TEXTS: Mapping[str, Mapping[str, float]] = {
    "Quiero saber dónde está mi pedido": {"es": 1.0, "en": 1e-4, OTHER: 1e-4},
    "Where is my order please": {"es": 1e-4, "en": 1.0, OTHER: 1e-4},
    "pedido": {"es": 1.0, "en": 0.4, OTHER: 0.2},
}
FLOWS = [
    flow({"ChannelType": "whatsapp", "ContactIdentity": ours} | more, sid=f"FO{place}{n}" + "0" * 30)
    for place, ours in enumerate((OURS, OTHERS))
    for n, more in enumerate(
        (
            {},
            {"Language": "es", "LanguageCommands": "true"},
            {"Language": "en", "LongLived": "true"} | ({"LanguageChange": "true"} if ours == OTHERS else {}),
            {"Match": 'body.startsWith("#")'},
            {"Match": 'opt_out_type == "STOP"'},
            {"Match": "percent(40)"},
            {"Match": 'now.getFullYear() > 2000 && params["Night"] != ""'},
        )
    )
]
MESSAGES = st.builds(
    lambda body, ours, theirs, lang, night: (
        Message(
            AC, "SM" + "0" * 32, theirs[0], ours, "whatsapp", body, params={"ExternalUserId": theirs[1], "Night": night}
        ),
        lang,
    ),
    body=st.sampled_from([*TEXTS, "ok", "", "#1", "STOP", "ESPAÑOL", "English"]),
    ours=st.sampled_from([OURS, OTHERS]),
    theirs=st.sampled_from([(PHONE, ""), (PHONE, USER_ID), (USER_ID, USER_ID)]),
    lang=st.sampled_from(["", "", "es"]),
    night=st.sampled_from(["", "", "1"]),
)


def _likelihood(text: str, offered: Sequence[str]) -> Mapping[str, float] | None:
    found = TEXTS.get(text)
    return {tag: found.get(tag, 1e-4) for tag in (*offered, OTHER)} if found else None


@pytest.fixture
def store(valkey: ValkeyServer) -> Iterator[Store]:
    """A store with the flows."""
    made = connect(sending.settings(ROUTER_REDIS_URL=valkey.url, ROUTER_STICKY_HOURS=str(HOURS)))
    made.flows.put_all([(each, None) for each in FLOWS])
    yield made
    made.close()


def _accepted(store: Store, message: Message, lang: str) -> str:
    """Accept a message as the webhook does; return the flow's SID."""
    entries = store.flows.entries(AC, identities(message))
    circumstance = Circumstance(datetime.now(UTC).timestamp(), lang=lang, likelihood=_likelihood)
    while True:
        route = resolve(message, entries, circumstance)
        acceptance = store.lanes.accept(
            token=new_token(),
            account_sid=AC,
            message_sid=message.message_sid,
            lane=conversation_id(AC, "whatsapp", message.to, message.from_),
            disposition=disposition(route.flow),
            lease=False,
            versions=[(entry.identity, entry.version) for entry in entries[:1]],
            facts=facts(b"raw", route, lang),
            choice=route.choice,
        )
        if acceptance.known is None:
            assert acceptance.kind == "accepted"
            return acceptance.flow_sid
        circumstance = replace(circumstance, known=acceptance.known)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(MESSAGES, min_size=1, max_size=12))
def test_a_rehearsal_routes_as_the_store_does(store: Store, messages: list[tuple[Message, str]]) -> None:
    """In a rehearsal and in the store each message goes to the same flow, whatever its text and addresses."""
    client = store.flows._client
    for pattern in ("contact:*", "message:*", "lane:*", "due:*", "leases:*", "taken:*"):
        for key in client.call("KEYS", pattern):
            client.call("DEL", key)
    rehearsal = Rehearsal(FLOWS, _likelihood, HOURS)
    for number, (message, lang) in enumerate(messages):
        numbered = replace(message, message_sid=f"SM{number:032x}")
        route = rehearsal.take(numbered, at=int(datetime.now(UTC).timestamp() * 1000), lang=lang)
        assert _accepted(store, numbered, lang) == (route.flow.sid if route.flow else "")
