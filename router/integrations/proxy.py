"""The Flex Proxy webhook: the entry point of Flex's legacy messaging.

https://www.twilio.com/docs/flex/developer/messaging/inbound-messages-channels
"""

from dataclasses import dataclass

from router.flow.flex_flow import FlexFlow
from router.integrations.base import Attempt, AttemptError, Failure, Sender
from router.integrations.http import Http, auth_tokens
from router.integrations.parts import Parts
from router.message.twiml import Answer
from router.settings import Account


@dataclass(frozen=True, slots=True)
class Proxy:
    """Forwards to the Proxy service that the flow names, else to the account's default one."""

    http: Http

    def send(self, attempt: Attempt) -> Answer:
        """Forward the message; see `Sender.send`."""
        url = self.url(attempt.account, attempt.flow)
        return self.http.forward(attempt, url, keys=auth_tokens(attempt.account), trusted=True)

    def url(self, account: Account, flow: FlexFlow) -> str:
        """Return the Proxy service's webhook; raise `AttemptError` if neither flow nor account names a service."""
        service = flow.integration.proxy_service_sid or account.proxy_service_sid
        if not service:
            reason = "neither Integration.ProxyServiceSid of the flow nor proxy_service_sid of the account is set"
            raise AttemptError(Failure.PERMANENT, reason)
        return f"{self.http.webhooks_url}/v1/Accounts/{account.sid}/Proxy/{service}/Webhooks/Message"


def make_sender(parts: Parts) -> Sender:
    """Make the sender; see `SenderModule`."""
    return Proxy(parts.http)
