"""The accounts of the web tests besides the one of `tests.e2e.service`, and Twilio's signature for them."""

from collections.abc import Sequence
from typing import Final

from twilio.request_validator import RequestValidator
from werkzeug.datastructures import MultiDict

from tests.core.samples import AC
from tests.e2e.service import TOKEN

SAMPLES_TOKEN: Final = "6" * 32
RETIRED_TOKEN: Final = "7" * 32
SHARED_SECRET: Final = "8" * 32
SHARED: Final = "webhooks_sharedkey_one"
SUBACCOUNT: Final = "AC" + "9" * 32
SUBACCOUNT_TOKEN: Final = "9" * 32
STRANGER: Final = "AC" + "3" * 32

CONFIG: Final = f"""
[[account]]
sid = "{AC}"
auth_tokens = ["{SAMPLES_TOKEN}", "{RETIRED_TOKEN}"]
shared_keys = [{{ id = "{SHARED}", algorithm = "HMAC_SHA256", secret = "{SHARED_SECRET}" }}]

[[account]]
sid = "{SUBACCOUNT}"
auth_tokens = ["{SUBACCOUNT_TOKEN}"]
"""


def signature(url: str, fields: Sequence[tuple[str, str]], *, key: str = TOKEN) -> str:
    """Sign a URL and a form, whose names may be repeated, with Twilio's library."""
    return str(RequestValidator(key).compute_signature(url, MultiDict(fields)))
