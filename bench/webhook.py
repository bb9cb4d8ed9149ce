"""Webhooks as Twilio sends them, signed and serialized before the measurement."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote_plus, urlencode

from router.cli.send.inbound import fields
from router.message.raw import FORM
from router.message.signature import Key, sign

ACCOUNT: Final = "AC" + "5e" * 16
TOKEN: Final = "0123456789abcdef0123456789abcdef"  # noqa: S105 - it signs nothing but the benchmark's own messages
PUBLIC_URL: Final = "http://router.example"
PATH: Final = "/webhooks/sms"
# A value for Twilio's idempotency token, with its length.
IDEMPOTENCY: Final = "00000000-0000-0000-0000-000000000000"
# The bytes of the form of an SMS of usual length; the required memory figures are for this length.
FORM_BYTES: Final = 440
# The number of conversations over which messages are distributed.
CONVERSATIONS: Final = 10_000
# Coprime to all numbers of conversations and addresses in use, so that successive messages are not of neighbours.
_STRIDE: Final = 7_919
# Coprime to 256, so that the hash tags of few accounts are distributed evenly.
_ACCOUNT_STRIDE: Final = 37


def account(number: int) -> str:
    """Return the SID of one of many accounts, which all have the same token; the first is `ACCOUNT`."""
    return f"{ACCOUNT[:-2]}{(int(ACCOUNT[-2:], 16) + number * _ACCOUNT_STRIDE) % 256:02x}"


def contact_identity(block: int, number: int) -> str:
    """Return the address `number` of a block: addresses of one block have flows of one kind."""
    return f"+1555{block}{number:06d}"


@dataclass(frozen=True, slots=True)
class Stream:
    """Messages that differ in SID, sender and address; no two streams with different `salt` share a MessageSid.

    They go to `addresses` of the `block`, from `conversations` customers, and to each of so many `accounts` in turn.
    """

    salt: int
    block: int = 0
    addresses: int = 10
    conversations: int = CONVERSATIONS
    accounts: int = 1

    def bodies(self, count: int) -> Iterator[bytes]:
        """Yield the encoded forms of the first `count` messages, each `FORM_BYTES` long.

        They differ only in SID and addresses, so that a million of them take only seconds.
        """
        template = urlencode(self._padded(0))
        first = [quote_plus(each) for each in self._names(0)]
        for n in range(count):
            body = template
            for before, after in zip(first, self._names(n), strict=True):
                body = body.replace(before, quote_plus(after))
            yield body.encode()

    def requests(self, count: int, host: str) -> Iterator[bytes]:
        """Yield the first `count` messages as complete requests."""
        key = Key("auth_token[0]", TOKEN.encode())
        head = (
            f"POST {PATH} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: TwilioProxy/1.1\r\nAccept: */*\r\n"
            f"Content-Type: {FORM}; charset=UTF-8\r\nX-Home-Region: us1\r\n"
        )
        head += f"I-Twilio-Idempotency-Token: {IDEMPOTENCY}\r\n"
        for n in range(count):
            form = self._padded(n)
            body = urlencode(form)
            yield (
                f"{head}Content-Length: {len(body)}\r\n"
                f"X-Twilio-Signature: {sign(PUBLIC_URL + PATH, form, key)}\r\n\r\n{body}"
            ).encode()

    def _padded(self, n: int) -> list[tuple[str, str]]:
        return self._form(n, "x" * max(1, FORM_BYTES - len(urlencode(self._form(n, "")))))

    def _names(self, n: int) -> tuple[str, str, str, str]:
        """Return the account of message `n`, its SID, its sender and its recipient.

        Streams start at different addresses, so that they do not all use the same few thousand.
        """
        return (
            account(n % self.accounts),
            f"SM{self.salt:023x}{n:09x}",  # the router remembers the last 17 digits of a SID longer than its message
            f"+1666{n * _STRIDE % self.conversations:07d}",
            contact_identity(self.block, (self.salt + n) * _STRIDE % self.addresses),
        )

    def _form(self, n: int, body: str) -> list[tuple[str, str]]:
        account_sid, message_sid, from_, to = self._names(n)
        return fields(
            "sms",
            account_sid=account_sid,
            message_sid=message_sid,
            from_=from_,
            to=to,
            body=body,
            media=(),
            more=(),
        )
