"""Twilio's Message resource: sends an integration's answer that came too late for the webhook.

https://www.twilio.com/docs/messaging/api/message-resource#create-a-message-resource
"""

import json
from base64 import b64encode
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from router.integrations.base import AttemptError, Failure
from router.integrations.http import Http
from router.message.late_reply import Outgoing
from router.settings import Account

API: Final = "https://api.twilio.com"


@dataclass(frozen=True, slots=True)
class Messages:
    """Creates messages through the REST API, whose base is `api_url`."""

    http: Http
    api_url: str = API

    def create(self, account: Account, outgoing: Outgoing, *, from_: str, to: str) -> str:
        """Send one message; return its SID.

        Raises:
            AttemptError: it was not sent, or the outcome is unknown.

        """
        form = [("To", to), ("From", from_), *(("MediaUrl", url) for url in outgoing.media)]
        if outgoing.body:
            form.append(("Body", outgoing.body))
        answer = self.http.post(
            f"{self.api_url.rstrip('/')}/2010-04-01/Accounts/{account.sid}/Messages.json",
            urlencode(form).encode(),
            authorization=f"Basic {b64encode(f'{account.sid}:{account.auth_tokens[0]}'.encode()).decode()}",
        )
        try:
            return str(json.loads(answer.body)["sid"])
        except (ValueError, KeyError, TypeError) as error:
            raise AttemptError(Failure.UNKNOWN, "Twilio's answer names no message") from error
