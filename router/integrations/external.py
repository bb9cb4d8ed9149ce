"""Forwards to a webhook of the customer, or of a third party that the customer trusts."""

from dataclasses import dataclass

from router.flow.flex_flow import FlexFlow
from router.integrations.base import Attempt, Sender
from router.integrations.http import Http, auth_tokens
from router.integrations.parts import Parts
from router.message.signature import Key
from router.message.twiml import Answer
from router.settings import Account


@dataclass(frozen=True, slots=True)
class External:
    """Forwards to `Integration.Url`, signed with `Integration.SigningKey` if the flow has one.

    With a separate signing key, the receiver can verify without knowing the account's auth token. If there are two
    keys, the receiver may have either one, which allows key rotation.
    """

    http: Http

    def send(self, attempt: Attempt) -> Answer:
        """Forward the message; see `Sender.send`."""
        integration = attempt.flow.integration
        own = [key for key in integration.signing_key.split(",") if key]
        keys = tuple(Key(f"signing_key[{n}]", key.encode()) for n, key in enumerate(own))
        url = self.url(attempt.account, attempt.flow)
        return self.http.forward(attempt, url, keys=keys or auth_tokens(attempt.account), either=bool(keys))

    def url(self, account: Account, flow: FlexFlow) -> str:  # noqa: ARG002 - as the other senders'
        """Return `Integration.Url`."""
        return flow.integration.url


def make_sender(parts: Parts) -> Sender:
    """Make the sender; see `SenderModule`."""
    return External(parts.http)
