"""Selects the few accounts whose keys may have signed a request, for any number of accounts in the settings."""

import re
from collections.abc import Iterable, Mapping
from itertools import chain, islice
from typing import Final, TypeVar

from router.message.raw import Raw

T = TypeVar("T")

# The maximum number of accounts whose keys are tried for a body that is not a form.
MOST: Final = 4
_NAMED: Final = 32
_SID: Final = re.compile(r"AC[0-9a-fA-F]{32}")
_SID_IN_BODY: Final = re.compile(_SID.pattern.encode())


def owners(raw: Raw, fields: Iterable[tuple[str, str]], target: str, accounts: Mapping[str, T]) -> tuple[T, ...]:
    """Return the accounts whose keys may have signed a request; empty if it names an account not in `accounts`.

    A form has an AccountSid. Another body may contain the SID of its account anywhere, or nowhere. Then the result is
    the accounts whose SIDs are in URL or body, followed by the first ones in the settings, `MOST` together.
    """
    if raw.is_form:
        sid = next((value for name, value in fields if name == "AccountSid"), "")
        return (accounts[sid],) if sid in accounts else ()
    in_body = (match[0].decode() for match in _SID_IN_BODY.finditer(raw.body))
    named = islice(chain((match[0] for match in _SID.finditer(target)), in_body), _NAMED)
    likely = dict.fromkeys(chain((sid for sid in named if sid in accounts), islice(accounts, MOST)))
    return tuple(accounts[sid] for sid in islice(likely, MOST))
