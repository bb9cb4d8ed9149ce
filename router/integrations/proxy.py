"""The Flex Proxy webhook: the way into Flex's legacy messaging.

https://www.twilio.com/docs/flex/developer/messaging/inbound-messages-channels
"""

from dataclasses import dataclass

from router.answer import Answer
from router.integrations.base import Attempt, AttemptError, Failure
from router.integrations.http import Http, auth_tokens


@dataclass(frozen=True, slots=True)
class Proxy:
    """Forwards to the Proxy service that the flow names, or else the account's own."""

    http: Http

    def send(self, attempt: Attempt) -> Answer:
        """Forward the message; see `Sender.send`."""
        account = attempt.account
        service = attempt.flow.integration.proxy_service_sid or account.proxy_service_sid
        if not service:
            reason = "neither Integration.ProxyServiceSid of the flow nor proxy_service_sid of the account is set"
            raise AttemptError(Failure.PERMANENT, reason)
        url = f"{self.http.webhooks_url}/v1/Accounts/{account.sid}/Proxy/{service}/Webhooks/Message"
        return self.http.forward(attempt, url, keys=auth_tokens(account), trusted=True)
