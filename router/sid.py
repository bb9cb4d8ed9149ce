"""SIDs: two letters for the kind of resource, and 32 hexadecimal digits.

https://www.twilio.com/docs/glossary/what-is-a-sid
"""

import re
import secrets

_SID = re.compile(r"[A-Z]{2}[0-9a-fA-F]{32}")


def is_sid(value: str, *prefixes: str) -> bool:
    """Return whether `value` is a SID, with one of `prefixes` if any are given."""
    return _SID.fullmatch(value) is not None and (not prefixes or value[:2] in prefixes)


def new_sid(prefix: str) -> str:
    """Make a random SID, for example `new_sid("FO")`."""
    return prefix + secrets.token_hex(16)
