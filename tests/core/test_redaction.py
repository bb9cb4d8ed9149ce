"""Redaction of webhook parameters: the result is valid and has no personal data."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.cli.send.redaction import ADDRESSES, KEPT, Redaction
from router.message.inbound import Message, conversation_id
from tests.core.samples import SAMPLES, Sample


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.label)
def test_a_redacted_message_is_valid_and_has_no_personal_data(sample: Sample) -> None:
    """A redacted message parses, keeps its channel, `To` and field names, and has no other address and no text."""
    form = Redaction().form(list(sample.fields))
    message = Message.parse(form)
    assert (message.channel, message.to) == (sample.channel, dict(sample.fields)["To"])
    assert [name for name, _ in form] == [name for name, _ in sample.fields]
    before, text = dict(sample.fields), json.dumps(form, ensure_ascii=False)
    for name, value in before.items():
        if name in ADDRESSES and value != before["To"]:
            assert dict(form)[name] != value
            assert value.rpartition(":")[2].removeprefix("+") not in text
        elif not any(re.fullmatch(kept.replace("N", r"\d+"), name) for kept in KEPT if kept.endswith("N")):
            assert name in KEPT or name in ADDRESSES or value == "" or dict(form)[name] != value


def test_one_customer_stays_one_customer_after_redaction() -> None:
    """After redaction a customer is the same on each channel, and two customers stay two."""
    redaction = Redaction()

    def lane(from_: str, to: str = "whatsapp:+14155238886") -> str:
        found = dict(redaction.form([("WaId", from_.rpartition("+")[2]), ("From", from_), ("To", to)]))
        assert found["WaId"] == found["From"].rpartition("+")[2]
        return conversation_id("AC", "whatsapp", found["To"], found["From"])

    numbers = [f"whatsapp:+521551234567{n}" for n in range(10)]
    assert len({lane(number) for number in numbers}) == 10
    assert lane(numbers[0]) == lane(numbers[0])
    sms = dict(redaction.form([("From", "+5215512345670"), ("To", "+1")]))["From"]
    assert sms == "+5200000000001"
    assert dict(redaction.form([("From", numbers[0]), ("To", "+1")]))["From"] == f"whatsapp:{sms}"


@pytest.mark.parametrize(
    ("address", "redacted"),
    [
        ("+5215512345678", "+5200000000001"),
        ("40404", "00001"),
        ("MyBank", "000001"),
        ("whatsapp:US.13491208655302741918", "whatsapp:US.00000000000000000001"),
        ("whatsapp:US.ENT.11815799212886844830", "whatsapp:US.ENT.00000000000000000001"),
        ("messenger:4915550123456789", "messenger:4900000000000001"),
        ("line:U4af4980629", "line:00000000001"),
        ("Apple:urn:mbid:AQAAY", "Apple:00000000000001"),
    ],
)
def test_an_address_becomes_one_of_its_kind(address: str, redacted: str) -> None:
    """A redacted address keeps its channel, country and length; the rest is a counter."""
    assert dict(Redaction().form([("From", address), ("To", "")]))["From"] == redacted


def test_a_text_keeps_its_layout_and_nothing_else() -> None:
    """Letters, digits and emoji are masked; JSON stays JSON; a URL is replaced by the same one each time."""
    given = [
        ("Body", "Olá, Zoë!\n+1 415 👍"),
        ("MediaUrl0", "https://api.twilio.com/ME1"),
        ("FlowData", '{"name": "Ana", "age": 42, "photo": "https://api.twilio.com/ME1", "ok": true}'),
        ("Latitude", "-19.43"),
    ]
    found = dict(Redaction().form(given))
    assert found["Body"] == "Xxx, Xxx!\n+0 000 x"
    assert found["MediaUrl0"] == "https://redacted.example/1"
    assert json.loads(found["FlowData"]) == {"name": "Xxx", "age": 0, "photo": "https://redacted.example/1", "ok": True}
    assert found["Latitude"] == "-00.00"
    assert dict(Redaction(keep=["Body"]).form(given))["Body"] == given[0][1]


_PERSON = ("Zoë Müller", "15557654321", "ME0123456789", "37.774929", "zoe@example.org")
_TELLING = st.sampled_from([
    *_PERSON, *(f"+{each}" for each in _PERSON), *(json.dumps({each: [each, {"n": each}]}) for each in _PERSON),
    *(f"https://media.example/{each}?{each}" for each in _PERSON), *(f'text/x; name="{each}"' for each in _PERSON),
    "https://media.example/ME0123456789", '{"n": 15557654321, "at": 37.774929}',
])  # fmt: skip
_NAMES = st.sampled_from([
    *(name.replace("N", "0") if name.endswith("N") else name for name in KEPT if not name.startswith("To")),
    *(name for name in ADDRESSES if name != "From"), "Body", "ProfileName", "MediaUrl0", "Latitude", "Tomorrow1",
    *_PERSON,
])  # fmt: skip


@given(st.lists(st.tuples(_NAMES, _TELLING), max_size=8))
def test_personal_data_in_any_parameter_name_or_value_is_masked(more: list[tuple[str, str]]) -> None:
    """Personal data is masked in kept parameters, in parameter names and in JSON keys, too."""
    form = [("From", "whatsapp:+15557654321"), ("To", "whatsapp:+4930"), *more]
    left = json.dumps(Redaction().form(form), ensure_ascii=False)
    assert not [each for each in _PERSON if each in left]
