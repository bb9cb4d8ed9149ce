"""Who asks: HTTP Basic with account SID and auth token, or with API key SID and secret.

https://www.twilio.com/docs/iam/api-keys
"""

import hmac

from flask import Request

from router.settings import Account, Settings
from router.web.errors import ApiError


def authenticate(request: Request, settings: Settings) -> Account:
    """Return the account that the request is made for; raise `ApiError` 401 (20003), the same for every failure."""
    given = request.authorization
    if given is not None and given.type == "basic":
        user, password = given.username or "", (given.password or "").encode()
        for account in settings.accounts:
            if user == account.sid:
                secrets = account.auth_tokens
            else:
                secrets = tuple(key.secret for key in account.api_keys if key.sid == user)
            # Every secret is compared, in constant time, so that the time tells nothing of which one it was.
            if sum(hmac.compare_digest(secret.encode(), password) for secret in secrets):
                return account
    raise ApiError(401, 20003, "Authenticate")
