"""Reads and changes the webhooks of an account's addresses at Twilio.

https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource
https://www.twilio.com/docs/messaging/api/service-resource
https://www.twilio.com/docs/whatsapp/api/senders
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from router.errors import RouterError
from router.twilio_api.client import Rest, TwilioError

Kind = Literal["number", "service", "sender"]
Values = Mapping[str, str]
"""Fields of a record by their names in JSON; null is "", and a boolean `true` or `false`."""

FIELDS: Final[Mapping[Kind, tuple[str, ...]]] = {
    # The URLs of an application take precedence over the number's own.
    "number": ("sms_url", "sms_method", "sms_fallback_url", "sms_fallback_method", "sms_application_sid"),
    "service": (
        "inbound_request_url",
        "inbound_method",
        "fallback_url",
        "fallback_method",
        "use_inbound_webhook_on_number",
    ),
    "sender": ("callback_url", "callback_method", "fallback_url", "fallback_method"),
}
"""The fields that decide where messages go: URL, method, fallback, its method, and the setting that overrides them."""
_NOT_FOUND: Final = 404
_PAGE: Final = 500
_SERVICES: Final = 200  # the maximum number of Messaging Services whose numbers are read, with one call each
_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class Place:
    """A record that has an inbound webhook, with its current values.

    `name` is its name for people: +1…, whatsapp:+1…, or MG….
    """

    kind: Kind
    sid: str
    name: str
    values: Values


class Webhooks(Rest):
    """The inbound webhooks of an account. Every method raises `TwilioError`."""

    def number(self, number: str) -> Place:
        """Find a number of the account; raise RouterError if it does not have it."""
        with self.errors():
            found = self.client.incoming_phone_numbers.list(phone_number=number, limit=_SHOWN)
            for each in found:
                if each.phone_number == number:
                    return _place("number", each, number)
            others = [str(each.phone_number) for each in self.client.incoming_phone_numbers.list(limit=_SHOWN)]
        known = f"it has {', '.join(others)}" if others else "it has none"
        raise RouterError(f"{number} is not a number of {self.account_sid}; {known}")

    def sender(self, number: str) -> Place:
        """Find a WhatsApp sender by its number; raise RouterError if the account does not have it."""
        name = f"whatsapp:{number}"
        with self.errors():
            found = self.client.messaging.v2.channels_senders.list(channel="whatsapp", page_size=_PAGE)
        for each in found:
            if each.sender_id == name:
                return _place("sender", each, name)
        known = ", ".join(str(each.sender_id) for each in found[:_SHOWN])
        raise RouterError(
            f"{name} is not a WhatsApp sender of {self.account_sid}; it has {known or 'none'}. The WhatsApp Sandbox "
            "has no API: set its webhook in the Console (Messaging, Try it out, Send a WhatsApp message)"
        )

    def service(self, sid: str) -> Place:
        """Find a Messaging Service; raise RouterError if the account does not have it."""
        place = self.fetch("service", sid, sid)
        if place is None:
            raise RouterError(f"{sid} is not a Messaging Service of {self.account_sid}")
        return place

    def service_of(self, number: str) -> str:
        """Return the Messaging Service whose webhook Twilio uses for a number; "" if it uses the number's own."""
        with self.errors():
            for service in self.client.messaging.v1.services.list(limit=_SERVICES):
                if not service.use_inbound_webhook_on_number:
                    numbers = service.phone_numbers.list(page_size=_PAGE)
                    if any(each.phone_number == number for each in numbers):
                        return str(service.sid)
        return ""

    def fetch(self, kind: Kind, sid: str, name: str) -> Place | None:
        """Read a record again; None only if Twilio reports that the account no longer has it.

        The caller then deletes its data about the record; so a 404 of a proxy, or an unexpected answer, is an error.
        """
        try:
            with self.errors():
                place = _place(kind, self._record(kind, sid).fetch(), name)
        except TwilioError as error:
            if error.status == _NOT_FOUND and error.code:
                return None
            raise
        if place.sid != sid:
            raise TwilioError(f"Twilio's REST API returned another record than {sid}")
        return place

    def change(self, kind: Kind, sid: str, values: Values) -> None:
        """Change fields of a record; the others do not change."""
        record = self._record(kind, sid)
        with self.errors():
            if kind == "sender":
                record.update(_Webhook(values))
            else:
                flag = "use_inbound_webhook_on_number"
                record.update(**{name: value == "true" if name == flag else value for name, value in values.items()})

    def _record(self, kind: Kind, sid: str) -> Any:
        if kind == "number":
            return self.client.incoming_phone_numbers(sid)
        if kind == "service":
            return self.client.messaging.v1.services(sid)
        return self.client.messaging.v2.channels_senders(sid)


class _Webhook:
    """The changed fields, for the client to write as JSON; its own class would write null for all others."""

    def __init__(self, values: Values) -> None:
        self._values = values

    def to_dict(self) -> dict[str, Any]:
        return {"webhook": dict(self._values)}


def _place(kind: Kind, record: Any, name: str) -> Place:
    found = record.webhook if kind == "sender" else record
    return Place(kind, str(record.sid), name, {field: _text(_value(found, field)) for field in FIELDS[kind]})


def _value(found: Any, field: str) -> Any:
    """Read a field; the client returns a sender's webhook as an object or as a dict."""
    return found.get(field) if isinstance(found, dict) else getattr(found, field, None)


def _text(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
