"""A Studio flow's incoming-message trigger. Its TwiML answer is part of how its widgets work.

https://www.twilio.com/docs/studio/widget-library/trigger-start
"""

from dataclasses import dataclass

from router.flow.flex_flow import FlexFlow
from router.integrations.base import Attempt, Sender
from router.integrations.http import Http, auth_tokens
from router.integrations.parts import Parts
from router.message.twiml import Answer
from router.settings import Account


@dataclass(frozen=True, slots=True)
class Studio:
    """Forwards to the Studio flow `Integration.FlowSid`."""

    http: Http

    def send(self, attempt: Attempt) -> Answer:
        """Forward the message; see `Sender.send`."""
        url = self.url(attempt.account, attempt.flow)
        return self.http.forward(attempt, url, keys=auth_tokens(attempt.account), trusted=True)

    def url(self, account: Account, flow: FlexFlow) -> str:
        """Return the webhook of the Studio flow."""
        return f"{self.http.webhooks_url}/v1/Accounts/{account.sid}/Flows/{flow.integration.flow_sid}"


def make_sender(parts: Parts) -> Sender:
    """Make the sender; see `SenderModule`."""
    return Studio(parts.http)
