"""Reads an account at Twilio: its status, its addresses and their webhooks, its inbound messages."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from router.twilio_api.client import API, Rest

# Records per page; Twilio's maximum is 1,000.
_PAGE: Final = 500
# Twilio lists messages by DateSent, which for inbound messages is close to DateCreated.
_OUT_OF_ORDER: Final = timedelta(minutes=10)
_SERVICES: Final = 50  # the maximum number of Messaging Services whose numbers are read, with one call each


@dataclass(frozen=True, slots=True)
class Address:
    """An address that customers write to, and where its webhooks go.

    `by` is the Messaging Service or application that sets the URLs, "" if the number itself does.
    """

    identity: str
    url: str
    fallback_url: str
    by: str = ""

    def leads_to(self, bases: Iterable[str], channel: str) -> bool:
        """Return whether its webhook is that of a channel, or of all channels, under one of the base URLs."""
        return _leads(self.url, bases, channel)

    def fallback_leads_to(self, bases: Iterable[str], channel: str) -> bool:
        """Return the same for its fallback URL."""
        return _leads(self.fallback_url, bases, channel)


@dataclass(frozen=True, slots=True)
class Inbound:
    """An inbound message from the Message resource; `fields` are those of its webhook, without media."""

    sid: str
    created: datetime
    num_media: int
    fields: tuple[tuple[str, str], ...]


class TwilioApi(Rest):
    """The API with the credentials of one account, for its addresses and messages."""

    def status(self) -> str:
        """Return the account's status: active, suspended or closed."""
        with self.errors():
            return str(self.client.api.v2010.accounts(self.account_sid).fetch().status)

    def numbers(self) -> list[Address]:
        """List the account's numbers, with the URLs that Twilio uses for each.

        The URLs of a Messaging Service or an application take precedence over those of a number.
        """
        with self.errors():
            own = self.client.incoming_phone_numbers.list(page_size=_PAGE)
            services = self._of_services()
            return [services.get(each.phone_number) or self._of_number(each) for each in own]

    def number(self, number: str) -> Address | None:
        """Return one of the account's numbers with the URLs that Twilio uses; None if the account does not have it."""
        with self.errors():
            own = self.client.incoming_phone_numbers.list(phone_number=number, page_size=_PAGE)
            found = next((each for each in own if each.phone_number == number), None)
            return (self._of_services().get(number) or self._of_number(found)) if found else None

    def services_of(self, number: str) -> list[str]:
        """Return the SIDs of the Messaging Services that have a number, among the first 50."""
        with self.errors():
            return [
                str(service.sid)
                for service in self.client.messaging.v1.services.list(limit=_SERVICES)
                if any(each.phone_number == number for each in service.phone_numbers.list(page_size=_PAGE))
            ]

    def senders(self) -> list[Address]:
        """List the account's WhatsApp senders."""
        with self.errors():
            found = self.client.messaging.v2.channels_senders.list(channel="whatsapp", page_size=_PAGE)
            return [
                Address(
                    str(each.sender_id),
                    _part(each.webhook, "callback_url"),
                    _part(each.webhook, "fallback_url"),
                )
                for each in found
            ]

    def inbound(self, since: datetime, to: str = "") -> Iterator[Inbound]:
        """Yield the inbound messages created since then, the newest first; `to` is an address in Twilio's notation.

        Twilio filters by day only: https://www.twilio.com/docs/messaging/api/message-resource
        """
        day = since.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
        wanted = {"date_sent_after": day, "page_size": _PAGE} | ({"to": to} if to else {})
        with self.errors():
            for message in self.client.messages.stream(**wanted):
                if message.date_created and message.date_created < since - _OUT_OF_ORDER:
                    return  # the newest come first: all that follow are older
                if message.direction == "inbound" and message.date_created and message.date_created >= since:
                    yield self._inbound(message)

    def media(self, message_sid: str) -> list[tuple[str, str]]:
        """Return the attachments of a message: their URL as in a webhook, and their MIME type."""
        with self.errors():
            found = self.client.messages(message_sid).media.list()
            return [(API + str(each.uri).removesuffix(".json"), str(each.content_type)) for each in found]

    def _of_services(self) -> dict[str, Address]:
        found: dict[str, Address] = {}
        for service in self.client.messaging.v1.services.list(limit=_SERVICES):
            if service.use_inbound_webhook_on_number:
                continue  # without this setting, a service without a URL drops inbound messages
            by = f"Messaging Service {service.sid}"
            for number in service.phone_numbers.list(page_size=_PAGE):
                identity = str(number.phone_number)
                found[identity] = Address(identity, service.inbound_request_url or "", service.fallback_url or "", by)
        return found

    def _of_number(self, number: Any) -> Address:
        by, url, fallback = "", number.sms_url, number.sms_fallback_url
        if number.sms_application_sid:
            by = f"application {number.sms_application_sid}"
            application = self.client.applications(number.sms_application_sid).fetch()
            url, fallback = application.sms_url, application.sms_fallback_url
        return Address(str(number.phone_number), url or "", fallback or "", by)

    def _inbound(self, message: Any) -> Inbound:
        values = {
            "SmsMessageSid": message.sid,
            "NumMedia": message.num_media,
            "SmsSid": message.sid,
            "SmsStatus": "received",
            "Body": message.body,
            "To": message.to,
            "MessagingServiceSid": message.messaging_service_sid or None,
            "NumSegments": message.num_segments,
            "MessageSid": message.sid,
            "AccountSid": message.account_sid,
            "From": message.from_,
            "ApiVersion": message.api_version,
        }
        # JSON can contain a lone surrogate, as of a truncated emoji; a form cannot.
        fields = tuple(
            (name, str(value).encode(errors="replace").decode()) for name, value in values.items() if value is not None
        )
        media = str(message.num_media or "0")
        return Inbound(str(message.sid), message.date_created, int(media) if media.isdecimal() else 0, fields)


def _leads(url: str, bases: Iterable[str], channel: str) -> bool:
    """Return whether a webhook's URL is one of ours, apart from its query and its connection overrides."""
    path = url.partition("#")[0].partition("?")[0]
    return any(path == f"{base}/webhooks/{name}" for base in bases for name in (channel, "message"))


def _part(webhook: Any, name: str) -> str:
    """Read a field of a sender's webhook, which the client returns as an object or as a dict."""
    value = webhook.get(name) if isinstance(webhook, dict) else getattr(webhook, name, None)
    return str(value or "")
