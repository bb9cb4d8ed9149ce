"""Finding the flows of an address that can never be chosen."""

import pytest

from router.flow.flex_flow import FlexFlow
from router.flow.record import from_record, to_record
from router.flow.unreachable import unreachable
from tests.core.flows import flow

PHRASE = 'body.matches("(?i)menu")'


def flows(*forms: dict[str, str]) -> list[FlexFlow]:
    """Make flows of one address, each younger than the one before; the names are A, B, C."""
    identity = {"ContactIdentity": "+15005550006"}
    return [
        flow(identity | {"FriendlyName": chr(65 + place)} | form, sid=f"FO{place:032}", now=1_700_000_000 + place)
        for place, form in enumerate(forms)
    ]


def found(*forms: dict[str, str]) -> dict[str, str]:
    """Return the names of the flows that can never be chosen, with the reasons."""
    made = flows(*forms)
    names = {each.sid: each.friendly_name for each in made}
    return {names[sid]: why for sid, why in unreachable(reversed(made))}


REACHED = [
    ({}, {"Match": PHRASE}, {"Language": "en"}, {"Language": "en,de", "Match": "num_media > 0"}),
    ({"Match": PHRASE}, {"Match": 'body == "x"'}, {}),
    ({"Match": "true", "Language": "en"}, {"Language": "en,de"}, {}),
    ({"Match": "percent(50)"}, {"Match": "!percent(50)"}, {}),
    ({"Match": 'channel == "sms" && percent(99.9)'}, {}),
    ({"Match": "true", "Enabled": "false"}, {}),
    ({"Match": "true", "ContactIdentity": "+15005550007"}, {}),
    ({"Match": "true", "ChannelType": "rcs", "ContactIdentity": "*"}, {"ContactIdentity": "*"}),
    ({"Match": 'to == "+15005550006" && body != ""'}, {}),
    ({"Match": PHRASE, "Language": "en"}, {"Match": PHRASE}),
    ({"Match": "body == to"}, {"Match": 'body == "to"'}),
]


@pytest.mark.parametrize("forms", REACHED)
def test_a_flow_that_some_message_may_reach_is_not_warned_of(forms: tuple[dict[str, str], ...]) -> None:
    """A flow that some message may reach has no warning."""
    assert found(*forms) == {}


NEVER = "takes no message: its Match is never true"
UNREACHED = [
    (({"Match": "false"}, {}), {"A": NEVER}),
    (({"Match": 'channel == "whatsapp"'}, {}), {"A": NEVER}),
    (({"Match": 'to.endsWith("7")'}, {}), {"A": NEVER}),
    (({"Match": "percent(0)"}, {}), {"A": NEVER}),
    (({"Match": "percent(10) && !percent(20)"}, {}), {"A": NEVER}),
    (
        ({}, {"Match": "true"}),
        {"A": "takes only opt-out words: 'B' (FO"},
    ),
    (({}, {"Match": "true || opt_out_type != ''"}), {}),
    (({}, {"Match": "percent(100)"}, {"Match": PHRASE}), {"A": "only opt-out words", "C": "takes no message: 'B'"}),
    (({"Match": "true"}, {"Match": 'opt_out_type == "STOP"'}), {"B": "only opt-out words"}),
    (({"Language": "en"}, {"Match": PHRASE, "Language": "en", "Priority": "1"}), {"B": "takes no message: 'A'"}),
    (({"Match": PHRASE}, {"Match": f" {PHRASE} // again", "Language": "en"}), {"B": "'A'"}),
    (({"Match": PHRASE, "Priority": "1"}, {"Match": PHRASE}), {"A": "'B'"}),
    (({"Language": "en,de"}, {"Language": "de"}), {"B": "'A'"}),
    (({"Language": "en"}, {"Language": "de"}, {"Language": "de,en"}), {"C": "'A'"}),
    (({"Language": "de"}, {"Match": "true", "Language": "de"}), {"A": "only opt-out words: 'B'"}),
    (({"Language": "de"}, {"Match": "true", "Language": "de", "Priority": "9"}), {"B": "takes no message: 'A'"}),
]


@pytest.mark.parametrize(("forms", "expected"), UNREACHED)
def test_a_flow_that_no_message_reaches_is_found(forms: tuple[dict[str, str], ...], expected: dict[str, str]) -> None:
    """A flow that no message reaches has a warning that names the flows that take its messages."""
    seen = found(*forms)
    assert set(seen) == set(expected)
    for name, part in expected.items():
        assert part in seen[name]


def test_a_stored_match_that_does_not_compile_has_a_warning() -> None:
    """A flow whose stored Match does not compile has a warning with the place of the error."""
    (made,) = flows({"Match": PHRASE})
    text = to_record(made).replace("body.matches", "body.resembles")
    stored = from_record(text, made.account_sid, made.sid)
    ((sid, why),) = unreachable([stored])
    assert sid == made.sid
    assert why.startswith("takes no message: its Match does not compile, column 6: no function is called resembles; ")
