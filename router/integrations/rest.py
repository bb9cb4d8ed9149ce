"""Twilio's REST API, through Twilio's own client, for commands that people run: what an account has, and received.

https://www.twilio.com/docs/usage/api
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from router.errors import RouterError
from router.settings import Account, Settings

# A person waits: longer than Twilio's slowest list, shorter than patience.
SECONDS: Final = 15.0
# Records in one answer; Twilio gives 1,000 at most.
_PAGE: Final = 500
_SERVICES: Final = 50  # Messaging Services whose numbers are asked for, one call each
_UNAUTHORIZED: Final = 401
_API: Final = "https://api.twilio.com"


class TwilioError(RouterError):
    """Twilio said no, or nothing; `status` is HTTP's, 0 when there was no answer."""

    def __init__(self, reason: str, status: int = 0) -> None:
        super().__init__(reason)
        self.status = status

    @property
    def unauthorized(self) -> bool:
        """Whether the credentials were not accepted."""
        return self.status == _UNAUTHORIZED


@dataclass(frozen=True, slots=True)
class Address:
    """An address that customers write to, and where its webhooks go.

    `by` says what decides that, where it is not the number itself: a Messaging Service or an application.
    """

    identity: str
    url: str
    fallback_url: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class Inbound:
    """An inbound message as the Message resource has it; `fields` are those of its webhook, without media."""

    sid: str
    created: datetime
    num_media: int
    fields: tuple[tuple[str, str], ...]


class _Bound:
    """Twilio's HTTP client, bound to where credentials may go: Twilio, or the one base of ROUTER_TWILIO_API_URL.

    The address of a next page comes out of an answer, and the client would follow it anywhere.
    """

    is_async = False

    def __init__(self, inner: Any, base: str | None) -> None:
        self._inner = inner
        self._base = base

    def request(self, method: str, url: str, *args: Any, **options: Any) -> Any:
        """Send one request, its path and query kept."""
        parts = urlsplit(url)
        if self._base:
            url = f"{self._base}{parts.path}{f'?{parts.query}' if parts.query else ''}"
        elif parts.scheme != "https" or not (parts.hostname or "").endswith(".twilio.com"):
            raise TwilioError(f"Twilio's answer leads to {parts.scheme}://{parts.netloc}, which is not Twilio")
        return self._inner.request(method, url, *args, **options)


class TwilioApi:
    """The API as one account.

    Args:
        settings: where it is.
        account: whose.
        token: the auth token, when it shall be another than the first.
    """

    def __init__(self, settings: Settings, account: Account, token: str = "") -> None:
        from twilio.http.http_client import TwilioHttpClient
        from twilio.rest import Client

        http = TwilioHttpClient(timeout=SECONDS)
        http.session.trust_env = False  # no proxy out of the environment: DESIGN 7, doors out
        self._base = settings.twilio_api_url or _API
        self._client: Any = Client(
            account.sid,
            token or account.auth_tokens[0],
            http_client=_Bound(http, settings.twilio_api_url),
            environment={"TWILIO_REGION": ""},  # nothing of the environment but what the settings say
        )
        self._account_sid = account.sid

    def status(self) -> str:
        """Return the account's status: active, suspended or closed."""
        with self._errors():
            return str(self._client.api.v2010.accounts(self._account_sid).fetch().status)

    def numbers(self) -> list[Address]:
        """List the account's numbers, with the URLs that really count for each.

        A Messaging Service's URL comes before its numbers' own, and an application's before a number's.
        """
        with self._errors():
            own = self._client.incoming_phone_numbers.list(page_size=_PAGE)
            services = self._of_services()
            return [services.get(each.phone_number) or self._of_number(each) for each in own]

    def senders(self) -> list[Address]:
        """List the account's WhatsApp senders."""
        with self._errors():
            found = self._client.messaging.v2.channels_senders.list(channel="whatsapp", page_size=_PAGE)
            return [
                Address(
                    str(each.sender_id),
                    _part(each.webhook, "callback_url"),
                    _part(each.webhook, "fallback_url"),
                )
                for each in found
            ]

    def inbound(self, since: datetime, to: str = "") -> Iterator[Inbound]:
        """Walk the inbound messages created since, the newest first; `to` is an address as Twilio writes it.

        Twilio filters by the day (https://www.twilio.com/docs/messaging/api/message-resource), the rest is done here.
        """
        day = since.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
        wanted = {"date_sent_after": day, "page_size": _PAGE} | ({"to": to} if to else {})
        with self._errors():
            for message in self._client.messages.stream(**wanted):
                if message.direction == "inbound" and message.date_created and message.date_created >= since:
                    yield self._inbound(message)

    def media(self, message_sid: str) -> list[tuple[str, str]]:
        """Return the attachments of a message: URL, as a webhook gives it, and MIME type."""
        with self._errors():
            found = self._client.messages(message_sid).media.list()
            return [(_API + str(each.uri).removesuffix(".json"), str(each.content_type)) for each in found]

    def _of_services(self) -> dict[str, Address]:
        found: dict[str, Address] = {}
        for service in self._client.messaging.v1.services.list(limit=_SERVICES):
            if service.use_inbound_webhook_on_number or not service.inbound_request_url:
                continue
            by = f"Messaging Service {service.sid}"
            for number in service.phone_numbers.list(page_size=_PAGE):
                identity = str(number.phone_number)
                found[identity] = Address(identity, service.inbound_request_url, service.fallback_url or "", by)
        return found

    def _of_number(self, number: Any) -> Address:
        by, url, fallback = "", number.sms_url, number.sms_fallback_url
        if number.sms_application_sid:
            by = f"application {number.sms_application_sid}"
            application = self._client.applications(number.sms_application_sid).fetch()
            url, fallback = application.sms_url, application.sms_fallback_url
        return Address(str(number.phone_number), url or "", fallback or "", by)

    def _inbound(self, message: Any) -> Inbound:
        given = {
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
        fields = tuple((name, str(value)) for name, value in given.items() if value is not None)
        media = str(message.num_media or "0")
        return Inbound(str(message.sid), message.date_created, int(media) if media.isdecimal() else 0, fields)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Make one sentence of whatever the client raises."""
        from twilio.base.exceptions import TwilioException

        try:
            yield
        except TwilioException as error:
            raise self._refusal(error) from None
        except OSError as error:  # what `requests` raises is one
            why = "no answer in time" if "timed out" in str(error) else type(error).__name__
            raise TwilioError(f"Twilio's REST API at {self._base} cannot be reached ({why})") from None
        except ValueError as error:  # what came is no JSON: a proxy's page
            raise TwilioError(f"{self._base} did not answer as Twilio's REST API does ({error})") from None

    def _refusal(self, error: Exception) -> TwilioError:
        """Read status and message, which the client keeps in one place for a record and in another for a page."""
        page = error.args[1] if len(error.args) > 1 else None
        status = getattr(error, "status", 0) or getattr(page, "status_code", 0)
        if status == _UNAUTHORIZED:
            return TwilioError(f"Twilio did not accept SID and auth token of account {self._account_sid}", status)
        said = getattr(error, "msg", "") or str(getattr(page, "text", "")) or str(error)
        return TwilioError(f"Twilio answered {status}: {' '.join(said.split())[:200]}", status)


def _part(webhook: Any, name: str) -> str:
    """Read a field of a sender's webhook, which the client gives as an object or as JSON."""
    value = webhook.get(name) if isinstance(webhook, dict) else getattr(webhook, name, None)
    return str(value or "")
