"""Property test of connections: after any failures, Twilio has no value of ours and all values of others."""

import itertools
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from router.cli.connect.connector import Connector
from router.errors import RouterError
from router.settings import load
from router.twilio_api.connections import NAME
from router.twilio_api.webhook_values import wanted
from tests.e2e.local_setup import FIRST, SMS
from tests.e2e.service import ACCOUNT, TOKEN
from tests.e2e.twilio_rest import TwilioRest

BASES = ("https://one.example.app", "https://two.example.app")
URL, METHOD, FALLBACK, FALLBACK_METHOD, APPLICATION = SMS
# Twilio's answer to a change: 200; 500, refused; 0, made but the answer is lost.
ANSWERS = st.sampled_from([200, 500, 0])
STEPS = st.one_of(
    st.tuples(st.just("connect"), st.sampled_from(BASES), ANSWERS),
    st.tuples(st.just("move"), st.sampled_from(BASES), ANSWERS),
    st.tuples(st.just("crash"), st.sampled_from(BASES), st.just(200)),
    st.tuples(st.just("restore"), st.just(""), ANSWERS),
    st.tuples(st.just("other"), st.sampled_from([URL, FALLBACK]), st.just(200)),
)


@pytest.fixture(scope="module")
def twilio() -> Iterator[TwilioRest]:
    """A Twilio whose number each example resets."""
    with TwilioRest(ACCOUNT, TOKEN) as twilio:
        yield twilio


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(steps=[("connect", BASES[0], 200), ("other", URL, 200), ("connect", BASES[1], 200)])
@example(steps=[("connect", BASES[0], 200), ("crash", BASES[1], 200), ("move", BASES[1], 0)])
@example(steps=[("connect", BASES[0], 200), ("other", FALLBACK, 200), ("move", BASES[1], 200)])
@given(steps=st.lists(STEPS, max_size=7))
def test_restoring_ends_with_the_values_that_others_wrote_last(
    twilio: TwilioRest, tmp_path: Path, steps: list[tuple[str, str, int]]
) -> None:
    """After any sequence of steps, refusals and crashes, `restore` ends with the values that others wrote last."""
    twilio.numbers.clear()
    number = twilio.number("+15550000001", **dict(zip(SMS, FIRST, strict=True)))
    theirs = {URL: FIRST[0], FALLBACK: FIRST[2]}
    serial = itertools.count(1)
    (tmp_path / NAME).unlink(missing_ok=True)
    given = {
        "ROUTER_DATA_DIR": str(tmp_path),
        "TWILIO_ACCOUNT_SID": ACCOUNT,
        "TWILIO_AUTH_TOKEN": TOKEN,
        "ROUTER_TWILIO_API_URL": twilio.url,
    }
    connector = Connector(load(given))
    record = connector.record

    def take(verb: str, what: str, answer: int) -> None:
        twilio.updates_answered = answer
        with record.locked():
            known = record.of(("number", number["sid"]))
            if verb == "other":
                number[what] = theirs[what] = f"https://other.example.com/{next(serial)}"
            elif verb == "connect":
                (place,) = connector.find(load(given).accounts[0], [("number", "+15550000001")])
                connector.connect(place, ACCOUNT, what, tunnel=True, holder="")
            elif known is None:
                return
            elif verb == "move":
                connector.move(known, what)
            elif verb == "crash":  # the record is written, but Twilio's webhook is not
                record.put(replace(known, base=what, ours=(*known.ours, wanted("number", what))))
            else:
                connector.restore(known)

    for step in steps:
        with suppress(RouterError):
            take(*step)
    take("restore", "", 200)

    assert {field: number[field] for field in theirs} == theirs
    assert record.read() == ()
    if theirs == {URL: FIRST[0], FALLBACK: FIRST[2]}:
        assert tuple(number[field] for field in SMS) == FIRST
    if theirs[URL] != FIRST[0]:
        assert (number[METHOD], number[APPLICATION]) in {("POST", ""), (FIRST[1], FIRST[4])}
