"""Webhooks as Twilio sends them, signed and written out before anything is measured."""

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
# What Twilio sends with a message, of the length that it has.
IDEMPOTENCY: Final = "00000000-0000-0000-0000-000000000000"
# The form of an SMS of usual length: DESIGN's figures of memory are for one of 440 bytes.
FORM_BYTES: Final = 440
# Conversations that messages are spread over.
CONVERSATIONS: Final = 10_000
# Coprime to any number of conversations or addresses in use, so that neighbours in time are not neighbours in number.
_STRIDE: Final = 7_919
# Coprime to 256, so that few accounts have hash tags all over.
_ACCOUNT_STRIDE: Final = 37


def account(number: int) -> str:
    """Return one of many accounts, which all have the same token; the first is `ACCOUNT`."""
    return f"{ACCOUNT[:-2]}{(int(ACCOUNT[-2:], 16) + number * _ACCOUNT_STRIDE) % 256:02x}"


def contact_identity(block: int, number: int) -> str:
    """Return the address `number` of a block: addresses of one block have flows of one kind."""
    return f"+1555{block}{number:06d}"


@dataclass(frozen=True, slots=True)
class Stream:
    """Messages that differ in SID, sender and address; no two streams with different `salt` share a MessageSid.

    `addresses` of the `block` are written to, by `conversations` customers, in turn in each of so many `accounts`.
    """

    salt: int
    block: int = 0
    addresses: int = 10
    conversations: int = CONVERSATIONS
    accounts: int = 1

    def bodies(self, count: int) -> Iterator[bytes]:
        """Write the forms of the first `count` messages as they are sent, each `FORM_BYTES` long.

        All are alike but for SID and addresses, so that a million of them take seconds.
        """
        template = urlencode(self._padded(0))
        first = [quote_plus(each) for each in self._names(0)]
        for n in range(count):
            body = template
            for before, after in zip(first, self._names(n), strict=True):
                body = body.replace(before, quote_plus(after))
            yield body.encode()

    def requests(self, count: int, host: str) -> Iterator[bytes]:
        """Write the first `count` messages as complete requests."""
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
        """Return the account of message `n`, its SID, its sender and the address that it is written to.

        Streams begin at different addresses, so that many addresses are not the same few thousand in each of them.
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
