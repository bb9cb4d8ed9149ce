"""The variables that a Match is evaluated with."""

import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from router.errors import ExpressionError
from router.match import VARIABLES, compile_expression
from router.match.values import bucket, variables
from router.message.inbound import Message
from tests.core.samples import AC, SM

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
NAMES = tuple(VARIABLES)


def message(theirs: str, ours: str = "+15005550006", **more: str) -> Message:
    """Make a message from one address to another."""
    fields = {"AccountSid": AC, "MessageSid": SM, "From": theirs, "To": ours, **more}
    return Message.parse(fields.items())


def known(sent: Message) -> Mapping[str, Any]:
    """Return all variables of a message."""
    return variables(sent, names=NAMES, language="de", country="AT", now=NOW)


def test_each_variable_has_the_messages_value() -> None:
    """Each variable has the message's value, with its type; addresses are in canonical form."""
    more = {"Body": "Hi", "NumMedia": "2", "ProfileName": "Ada", "ButtonPayload": "yes", "OptOutType": "STOP"}
    seen = dict(known(message("whatsapp:43 664 1234567", "whatsapp:+15005550006", **more)))
    params = seen.pop("params")
    assert (params["Body"], params["ProfileName"]) == ("Hi", "Ada")
    assert seen == {
        "channel": "whatsapp",
        "body": "Hi",
        "from": "whatsapp:+436641234567",
        "to": "whatsapp:+15005550006",
        "language": "de",
        "country": "AT",
        "profile_name": "Ada",
        "num_media": 2,
        "button_payload": "yes",
        "opt_out_type": "STOP",
        "now": NOW,
    }


def test_a_missing_field_is_an_empty_variable() -> None:
    """A variable whose field the message lacks is empty, or 0."""
    seen = known(message("+43664123456"))
    assert {seen[name] for name in ("body", "profile_name", "button_payload", "opt_out_type")} == {""}
    assert seen["num_media"] == 0
    assert set(seen) == set(VARIABLES)


@pytest.mark.parametrize("share", [1, 10, 12.5, 50, 99])
def test_percent_takes_about_so_many_contacts(share: float) -> None:
    """Of 4,000 contacts, percent(n) is true for n %, within four standard deviations."""
    expression = compile_expression(f"percent({share})")
    count = 4000
    taken = sum(expression.matches({}, bucket(message(f"+4366{number:08}"))) for number in range(count))
    deviation = (share * (100 - share) / count) ** 0.5
    assert abs(taken / count * 100 - share) < 4 * deviation


def test_percent_is_sticky() -> None:
    """percent(n) is the same for each message of a contact, and stays true for each larger n."""
    place = bucket(message("whatsapp:+436641234567", "whatsapp:+15005550006"))
    assert bucket(message("whatsapp:436641234567", "WhatsApp:+1 500 555 0006", Body="again")) == place
    assert 0 <= place < 100
    answers = [compile_expression(f"percent({share})").matches({}, place) for share in range(101)]
    assert answers == sorted(answers)
    assert (answers[0], answers[100]) == (False, True)


def test_percent_is_the_same_in_every_process() -> None:
    """A contact's bucket is the same in another process."""
    code = (
        "from tests.core.test_match_values import bucket, message\n"
        "print([bucket(message(f'+4366{n:08}')) for n in range(9)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str([bucket(message(f"+4366{number:08}")) for number in range(9)])


def test_a_contacts_buckets_at_two_addresses_are_independent() -> None:
    """A contact's buckets at two of our addresses are independent of each other."""
    pairs = [(bucket(message(f"+4366{n:08}")), bucket(message(f"+4366{n:08}", "+15005550007"))) for n in range(2000)]
    both = sum(first < 50 and second < 50 for first, second in pairs)
    assert 420 < both < 580


EXPRESSIONS = [
    'body == "Hello" || body == "" || int(body) > 3',
    'body == "Hello" || body == "" || now > timestamp(body)',
    'params["A"].matches("(?i)^a+$") || body.trim().lowerAscii().size() > 3',
    'now.getHours("Asia/Kathmandu") > 9 && percent(50) || button_payload in [body, profile_name]',
    "num_media in [0, 2] || 100 / (num_media - 1) > 3",
]


@example("\ud800", "\ud800", 2**80, 0.0, EXPRESSIONS[0])
@given(st.text(), st.text(max_size=5), st.integers(), st.floats(0, 99.99), st.sampled_from(EXPRESSIONS))
def test_an_expression_returns_a_bool_or_raises_expression_error(
    body: str, param: str, media: int, place: float, text: str
) -> None:
    """For any message an expression returns true or false, or raises ExpressionError."""
    seen = {**known(message("+43664123456")), "body": body, "params": {"A": param}, "num_media": media}
    with suppress(ExpressionError):
        assert compile_expression(text).matches(seen, place) in (True, False)
