"""A Studio flow's incoming-message trigger. Its TwiML answer is part of how its widgets work.

https://www.twilio.com/docs/studio/widget-library/trigger-start
"""

from dataclasses import dataclass

from router.answer import Answer
from router.integrations.base import Attempt
from router.integrations.http import Http, auth_tokens


@dataclass(frozen=True, slots=True)
class Studio:
    """Forwards to the Studio flow `Integration.FlowSid`."""

    http: Http

    def send(self, attempt: Attempt) -> Answer:
        """Forward the message; see `Sender.send`."""
        account = attempt.account
        url = f"{self.http.webhooks_url}/v1/Accounts/{account.sid}/Flows/{attempt.flow.integration.flow_sid}"
        return self.http.forward(attempt, url, keys=auth_tokens(account), trusted=True)
