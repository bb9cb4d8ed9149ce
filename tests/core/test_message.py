import pickle
from contextlib import suppress
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from router.errors import NotAMessage
from router.message.address import canonical, channel_of
from router.message.channel import WEBHOOKS
from router.message.inbound import Media, Message, conversation_id, is_status_callback
from router.message.masking import discreet, mask
from router.message.raw import FORM, MAX_FIELDS, Raw
from router.message.signature import signed_form
from tests.core.samples import AC, CONVERSATIONS_EVENT, MG, SAMPLES, SM, SMS, STATUS_CALLBACK, Sample

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
addresses = st.one_of(
    st.from_regex(r"\+?[0-9 ().-]{1,16}", fullmatch=True),
    st.from_regex(r"[A-Za-z]{2,9} ?: ?[+0-9A-Za-z.:*_-]{0,20}", fullmatch=True),
    st.sampled_from(["whatsapp", "messenger", "rcs", "line", "WhatsApp"]).flatmap(
        lambda prefix: st.from_regex(r"\+?[0-9 -]{0,15}", fullmatch=True).map(lambda rest: f"{prefix}:{rest}")
    ),
    texts,
)
channels = st.sampled_from(WEBHOOKS)


# --- Raw: the request as it was received


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.label)
def test_fields_of_samples(sample: Sample) -> None:
    """A sample's body decodes to its fields, in the same order."""
    assert Raw("POST", FORM, sample.body).fields() == list(sample.fields)


@given(body=st.one_of(st.binary(max_size=120), st.text(st.sampled_from("aé=&+%23ABFG;:"), max_size=60).map(str.encode)))
@example(b"a&&b=&=c&%3d=%26&d=%e2%82&e=\xff&f=%zz;g")
@example(b"From=whatsapp%3A%2B1555&a=%252B&b=%%2B&%3A=%2b")
def test_fields_agree_with_parse_qsl(body: bytes) -> None:
    """Our fast decoder returns what the standard library's does, for any bytes."""
    expected = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
    assert Raw("POST", FORM, body).fields() == expected


def test_a_request_is_read_once() -> None:
    """A request's fields and its signed text are computed once and kept."""
    raw = Raw("POST", FORM, b"b=2&a=%C3%A9&a=1&b=2")
    assert raw.fields() is raw.fields()
    assert raw.signed_form() == signed_form(raw.fields()) == "a1aéb2".encode()
    assert raw.signed_form() is raw.signed_form()
    assert raw == Raw("POST", FORM, raw.body), "what is cached does not count in a comparison"
    assert "é" not in repr(raw)


def test_a_get_has_its_fields_in_the_query() -> None:
    """A GET's query is read as its form, whatever its content type."""
    assert Raw("GET", "text/plain", b"From=%2B1&To=").fields() == [("From", "+1"), ("To", "")]


@pytest.mark.parametrize(
    ("content_type", "is_form"),
    [
        (FORM, True),
        ("application/x-www-form-urlencoded; charset=UTF-8", True),
        (" Application/X-WWW-Form-URLencoded ;charset=utf-8", True),
        ("application/json", False),
        ("multipart/form-data; boundary=x", False),
        ("", False),
    ],
)
def test_only_a_form_has_fields(content_type: str, is_form: bool) -> None:
    """Only a body with the content type of a form has fields."""
    raw = Raw("POST", content_type, b"a=1")
    assert raw.is_form is is_form
    assert raw.fields() == ([("a", "1")] if is_form else [])


def test_more_than_500_fields_are_refused() -> None:
    """A form with more than MAX_FIELDS fields is refused before it is decoded."""

    class Undecoded(bytes):
        def decode(self, *_: object, **__: object) -> str:
            raise AssertionError("it is decoded")

    assert len(Raw("POST", FORM, b"&".join([b"a=1"] * MAX_FIELDS)).fields()) == MAX_FIELDS
    with pytest.raises(ValueError, match="more than 500 fields"):
        Raw("POST", FORM, Undecoded(b"&".join([b"a=1"] * (MAX_FIELDS + 1)))).fields()


raws = st.builds(
    Raw,
    method=st.sampled_from(["POST", "GET"]),
    content_type=st.one_of(st.sampled_from(["", FORM, FORM + "; charset=UTF-8", FORM + ";charset=UTF-8"]), texts),
    body=st.binary(max_size=200),
    cookie=texts,
    idempotency_token=texts,
)


@given(raw=raws)
def test_packing_loses_nothing(raw: Raw) -> None:
    """A packed request unpacks to the same request."""
    assert Raw.unpack(raw.pack()) == raw


def test_packing_is_small() -> None:
    """A typical packed SMS takes 13 bytes beyond its body and its idempotency token."""
    token = "5f1c9a34-9a0f-4a5e-8a53-3ad1f8f1d0a1"
    raw = Raw("POST", FORM, SMS.body, idempotency_token=token)
    assert len(raw.pack()) == 13 + len(SMS.body) + len(token)


@given(raw=raws, cut=st.integers(0), more=st.binary(min_size=1, max_size=9))
def test_a_damaged_packed_request_is_refused(raw: Raw, cut: int, more: bytes) -> None:
    """A packed request that was cut or extended is refused with ValueError."""
    packed = raw.pack()
    for damaged in (packed[: cut % len(packed)], packed + more):
        with pytest.raises(ValueError, match="stored request"):
            Raw.unpack(damaged)


@given(noise=st.binary(max_size=60))
@example(b"\x01\x02" + bytes(11))
@example(b"\x01\x00\x09" + bytes(10))
@example(b"\x01\x00\x00\x00\x01" + bytes(8) + b"\xff")
def test_unpacking_noise_raises_value_error(noise: bytes) -> None:
    """Unpacking any bytes either succeeds or raises ValueError."""
    for packed in (noise, b"\x01" + noise):
        with suppress(ValueError):
            assert Raw.unpack(packed).pack()


def test_an_unknown_version_is_refused() -> None:
    """A packed request of an unknown format version is refused."""
    packed = Raw("POST", FORM, b"a=1").pack()
    with pytest.raises(ValueError, match="version 1"):
        Raw.unpack(b"\x02" + packed[1:])


@pytest.mark.parametrize("raw", [Raw("PUT", FORM, b""), Raw("POST", FORM, b"", cookie="c" * 65536)])
def test_an_unknown_method_or_too_long_header_cannot_be_packed(raw: Raw) -> None:
    """A request with another method than GET and POST, or a cookie of 64 KiB, cannot be packed."""
    with pytest.raises(ValueError, match=r"tuple|header"):
        raw.pack()


# --- Message.parse


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.label)
def test_parse_samples(sample: Sample) -> None:
    """Each sample message is parsed with its channel and addresses, and all its fields are kept."""
    message = Message.parse(sample.fields)
    given = dict(sample.fields)
    assert (message.account_sid, message.channel) == (AC, sample.channel)
    assert (message.from_, message.to) == (given["From"], given["To"])
    assert message.params == given
    assert {name: getattr(message, name) for name in sample.reads} == sample.reads


def test_media_keep_their_order_and_types() -> None:
    """A message's media keep their order and content types."""
    mms = next(sample for sample in SAMPLES if sample.label == "mms")
    params = dict(mms.fields)
    assert Message.parse(mms.fields).media == (
        Media(params["MediaUrl0"], "image/jpeg"),
        Media(params["MediaUrl1"], "video/mp4"),
    )


@pytest.mark.parametrize(("given", "read"), [("-1", 0), ("²", 0), ("1e9", 0), ("9" * 5000, 0), ("", 0), ("10", 10)])
def test_an_invalid_num_media_counts_as_none(given: str, read: int) -> None:
    """An invalid NumMedia counts as 0, and the message is still parsed."""
    message = Message.parse(SMS.but(NumMedia=given))
    assert message.num_media == read
    assert message.media == ()


def test_four_fields_are_enough_for_a_message() -> None:
    """A message needs four fields; every other one is empty."""
    fields = [("AccountSid", AC), ("MessageSid", SM), ("From", "+14155550123"), ("To", "+15005550006")]
    message = Message.parse(fields)
    assert (message.body, message.messaging_service_sid, message.opt_out_type, message.error_code) == ("", "", "", "")
    assert (message.profile_name, message.wa_id, message.external_user_id, message.button_text) == ("", "", "", "")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"AccountSid": None}, "AccountSid"),
        ({"AccountSid": "AC123"}, "AccountSid"),
        ({"AccountSid": "SK" + "0" * 32}, "AccountSid"),
        ({"AccountSid": AC + "\n"}, "AccountSid"),
        ({"MessageSid": None}, "MessageSid"),
        ({"MessageSid": "SM" + "g" * 32}, "MessageSid"),
        ({"MessageSid": SM + "0"}, "MessageSid"),
        ({"MessageSid": "IM" + "0" * 32}, "Conversations event"),
        ({"MessageSid": None, "EventType": "onConversationAdd"}, "Conversations event .'onConversationAdd'"),
        ({"From": None}, "From"),
        ({"From": ""}, "From"),
        ({"From": "  "}, "From"),
        ({"From": "x" * 257}, "From"),
        ({"From": "+1415\n5550123"}, "From"),
        ({"From": "Bank\u0085"}, "From"),
        ({"To": None}, "To"),
        ({"To": "whatsapp:"}, "To"),
        ({"To": "\x00"}, "To"),
        ({"From": "whatsapp:+14155550123"}, "different channels"),
        ({"From": "whatsapp:+14155550123", "To": "messenger:1"}, "different channels"),
        ({"From": "whatsapp:+14155550123", "To": "apple:1"}, "different channels"),
        ({"From": "apple:1", "To": "whatsapp:+14155550123"}, "different channels"),
    ],
)
def test_a_form_that_is_no_message_is_refused(changed: dict[str, str | None], says: str) -> None:
    """A form without a message's required fields is refused, and the error names the field."""
    with pytest.raises(NotAMessage, match=says):
        Message.parse(SMS.but(**changed))


def test_a_refusal_shows_no_address() -> None:
    """A refusal, which may be logged, shows no telephone number."""
    with pytest.raises(NotAMessage) as refused:
        Message.parse(SMS.but(From="whatsapp:+14155550123"))
    assert "5550" not in str(refused.value)


def test_a_conversations_event_is_no_message() -> None:
    """A Conversations event is refused, and the error names its type."""
    with pytest.raises(NotAMessage, match=r"a Conversations event \('onMessageAdded'\)"):
        Message.parse(CONVERSATIONS_EVENT)


def test_a_message_with_an_event_type_is_a_message() -> None:
    """A message with an EventType field is still parsed as a message."""
    assert Message.parse(SMS.but(EventType="new")).message_sid == SM


@pytest.mark.parametrize(
    "name",
    ["AccountSid", "MessageSid", "From", "To", "MessagingServiceSid", "Body", "OptOutType", "SmsStatus", "ErrorCode"],
)
def test_routing_fields_come_once(name: str) -> None:
    """A routing field given twice is refused."""
    value = dict(SMS.fields).get(name, "1")
    with pytest.raises(NotAMessage, match=f"{name} is given twice"):
        Message.parse([*SMS.but(**{name: value}), (name, value)])


def test_other_fields_may_come_twice() -> None:
    """Of another field given twice, the first value counts."""
    assert Message.parse([*SMS.fields, ("New", "first"), ("New", "second")]).params["New"] == "first"


@pytest.mark.parametrize(
    ("from_", "to", "channel"),
    [
        ("+14155550123", "rcs:Acme", "rcs"),
        ("14155550123", "whatsapp:+14155238886", "whatsapp"),
        ("WHATSAPP:+14155550123", "whatsapp:+14155238886", "whatsapp"),
        ("apple:urn:1", "imessage:2", "custom"),
        ("Alice", "apple:2", "custom"),
    ],
)
def test_the_channel_is_that_of_the_address_written_to(from_: str, to: str, channel: str) -> None:
    """A message's channel is that of its `To` address; a bare sender address may be on any channel."""
    assert Message.parse(SMS.but(From=from_, To=to)).channel == channel


def test_a_message_shows_no_address_and_no_text() -> None:
    """A message's repr, which may be logged, shows its SID but no number and no text."""
    shown = repr(Message.parse(SMS.fields))
    assert SM in shown
    assert not any(secret in shown for secret in ("4155550123", "5005550006", "Hola"))


def test_a_message_cannot_be_changed() -> None:
    """A message's parameters cannot be changed, and a message cannot be pickled."""
    message = Message.parse(SMS.fields)
    with pytest.raises(TypeError):
        message.params["Body"] = "x"  # type: ignore[index]
    with pytest.raises(TypeError):
        pickle.dumps(message)


# --- status callbacks


@pytest.mark.parametrize(
    ("changed", "is_callback"),
    [
        ({}, False),
        ({"SmsStatus": "receiving"}, False),
        ({"SmsStatus": None}, False),
        ({"SmsStatus": ""}, False),
        ({"SmsStatus": "sent"}, True),
        ({"SmsStatus": None, "MessageStatus": "read"}, True),
        ({"SmsStatus": None, "MessageStatus": "received"}, False),
    ],
)
def test_status_callbacks(changed: dict[str, str | None], is_callback: bool) -> None:
    """Only a form with the status of a sent message is a status callback; one without a status is a message."""
    assert is_status_callback(dict(SMS.but(**changed))) is is_callback


def test_the_status_callback_twilio_sends() -> None:
    """Twilio's status callback is recognized, although it has all the fields of a message."""
    assert is_status_callback(dict(STATUS_CALLBACK))


# --- addresses


@pytest.mark.parametrize(
    ("address", "channel"),
    [
        ("+14155550123", "sms"),
        ("40404", "sms"),
        ("MyBank", "sms"),
        ("a 1:2", "sms"),
        ("whatsapp:+1", "whatsapp"),
        (" WhatsApp:+1", "whatsapp"),
        ("messenger:1", "facebook"),
        ("rcs:x", "rcs"),
        ("line:U1", "line"),
        ("apple:1", "custom"),
        ("facebook:1", "custom"),
    ],
)
def test_channel_of(address: str, channel: str) -> None:
    """An address's prefix names its channel: no prefix is SMS, an unknown prefix is custom."""
    assert channel_of(address) == channel


@pytest.mark.parametrize(
    ("address", "channel", "written"),
    [
        ("+14155550123", "sms", "+14155550123"),
        (" +1 (415) 555-0123 ", "sms", "+14155550123"),
        ("14155550123", "sms", "+14155550123"),
        ("012345678901", "sms", "012345678901"),
        ("404", "sms", "404"),
        ("40404", "sms", "40404"),
        ("12345678", "sms", "12345678"),
        ("123456789", "sms", "+123456789"),
        ("MyBank", "sms", "MyBank"),
        ("+14155238886", "whatsapp", "whatsapp:+14155238886"),
        ("14155238886", "whatsapp", "whatsapp:+14155238886"),
        ("12345", "whatsapp", "whatsapp:+12345"),
        ("WhatsApp: +1 415-523-8886", "whatsapp", "whatsapp:+14155238886"),
        ("whatsapp:US.13491208655302741918", "whatsapp", "whatsapp:US.13491208655302741918"),
        ("US.13491208655302741918", "whatsapp", "whatsapp:US.13491208655302741918"),
        ("104925788412345", "facebook", "messenger:104925788412345"),
        ("Messenger:104925788412345", "facebook", "messenger:104925788412345"),
        ("Acme_Agent", "rcs", "rcs:Acme_Agent"),
        ("rcs:1234567890", "rcs", "rcs:1234567890"),
        ("rcs:+1 415 555 0123", "rcs", "rcs:+14155550123"),
        ("Ub1234567", "line", "line:Ub1234567"),
        ("Apple:AbC", "custom", "apple:AbC"),
        ("1.2-3", "custom", "1.2-3"),
        ("*", "whatsapp", "*"),
        ("whatsapp:*", "whatsapp", "*"),
        ("messenger:*", "whatsapp", "messenger:*"),
        (MG, "whatsapp", MG),
        ("messenger:1", "whatsapp", "messenger:1"),
        ("", "whatsapp", ""),
    ],
)
def test_each_spelling_has_one_canonical_form(address: str, channel: str, written: str) -> None:
    """Each spelling of an address has the same canonical form."""
    assert canonical(address, channel) == written


@given(address=addresses, channel=channels)
def test_canonical_is_stable(address: str, channel: str) -> None:
    """The canonical form of a canonical address is the same address."""
    once = canonical(address, channel)
    assert canonical(once, channel) == once


@given(sample=st.sampled_from(SAMPLES))
def test_twilio_sends_canonical_addresses(sample: Sample) -> None:
    """The addresses in Twilio's webhooks are already canonical."""
    message = Message.parse(sample.fields)
    assert canonical(message.from_, message.channel) == message.from_
    assert message.contact_identity == message.to


def test_a_conversation_id_depends_on_account_channel_and_addresses() -> None:
    """A conversation's id is 96 bits of account, channel and both addresses in order, independent of their spelling."""
    name = conversation_id(AC, "whatsapp", "whatsapp:+14155238886", "whatsapp:+5215512345678")
    assert name == conversation_id(AC, "whatsapp", "WhatsApp:+1 415 523 8886", "5215512345678")
    assert len(bytes.fromhex(name)) == 12
    others = {
        conversation_id("AC" + "1" * 32, "whatsapp", "whatsapp:+14155238886", "whatsapp:+5215512345678"),
        conversation_id(AC, "whatsapp", "whatsapp:+5215512345678", "whatsapp:+14155238886"),
        conversation_id(AC, "sms", "+14155238886", "+5215512345678"),
        conversation_id(AC, "sms", "+1415523888", "6+5215512345678"),
    }
    assert len(others | {name}) == 5


@pytest.mark.parametrize(
    ("address", "masked"),
    [
        ("+14155550123", "+14•••23"),
        ("whatsapp:+5215512345678", "whatsapp:+52•••78"),
        ("5215512345678", "521•••78"),
        ("whatsapp:US.13491208655302741918", "whatsapp:US.•••18"),
        ("US.13491208655302741918", "US.•••18"),
        ("messenger:104925788412345", "messenger:104•••45"),
        ("RCS:Acme_Support_agent", "rcs:Acm•••nt"),
        ("MyBank", "M•••"),
        ("40404", "4•••"),
        ("ana.gomez:at:home", "ana•••me"),
        ("whatsapp:", "whatsapp:•••"),
        ("", "•••"),
    ],
)
def test_a_mask_shows_only_the_ends_of_an_address(address: str, masked: str) -> None:
    """A masked address shows its channel, its first and last characters, and nothing between."""
    assert mask(address) == masked


@given(address=addresses)
def test_a_mask_never_shows_more_than_half(address: str) -> None:
    """A mask shows at most five characters of an address and at most half of it, but at least one."""
    prefix, colon, rest = mask(address).rpartition(":")
    whole = address.strip().removeprefix(address.strip()[: len(prefix + colon)])
    shown = rest.replace("•••", "", 1)
    assert len(shown) <= max(1, min(5, len(whole) // 2))


@given(fields=st.lists(st.tuples(texts, texts), max_size=6))
def test_any_fields_are_read_or_refused(fields: list[tuple[str, str]]) -> None:
    """Parsing any form either succeeds or raises NotAMessage."""
    raw = Raw("POST", FORM, urlencode([*fields, *SMS.fields]).encode())
    with suppress(NotAMessage):
        assert Message.parse(raw.fields()).message_sid


def test_a_text_from_a_handler_is_masked_joined_and_cut() -> None:
    """In a text from a handler secrets and the address are masked, lines are joined, and the rest is cut."""
    text = "no user +15550001111\nfor token hush hush"
    assert discreet(text, secrets=("hush",), address="+15550001111", most=29) == "no user +15•••11 for token ••"
