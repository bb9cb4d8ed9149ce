"""Reads the settings from environment and file; an error names the setting as the operator wrote it."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from router.environment import Given, read, suggestion, with_account_of
from router.errors import SettingsError
from router.settings.account import Account, ApiKey, SharedKey
from router.settings.handler import HandlerSetting
from router.settings.settings import ATTRIBUTES, KEYS, TABLES, Settings
from router.settings.value import Table
from router.sid import is_sid

# The tables inside others, by their names.
_NESTED: Final[Mapping[Any, type[Table]]] = {
    "shared_keys": SharedKey,
    "api_keys": ApiKey,
    "handlers": HandlerSetting,
}


def load(environ: Mapping[str, str]) -> Settings:
    """Parse the settings of a process.

    Raises:
        SettingsError: an unknown name, a file that cannot be read, or a value that does not parse. It names
            the setting as the operator wrote it, and never shows a secret.
    """
    given = read(environ, [key for key in ATTRIBUTES if key not in TABLES], TABLES)
    values = {ATTRIBUTES[key]: value for key, value in given.values.items()}
    accounts = values["accounts"] = with_account_of(environ, values.get("accounts", []))
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise _refusal(error, given, accounts) from None


def _refusal(error: ValidationError, given: Given, accounts: Any) -> SettingsError:
    """Return the error, with the setting's name as the operator wrote it. Values of secrets are left out."""
    # Unknown names are reported first, because for a misspelt name the error "missing" would be less helpful.
    first, *_ = sorted(error.errors(include_url=False), key=lambda each: each["type"] != "extra_forbidden")
    attribute, *rest = (str(part) for part in first["loc"])
    key = KEYS.get(attribute, attribute)
    name = given.names.get(key, key)
    if attribute == "accounts" and rest and isinstance(accounts, list):
        name = f"[[account]] {_sid_in(accounts[int(rest[0])])}"
        rest = rest[1:]
    name = ", ".join([name, *(part for part in rest if not part.isdecimal() and part != "[key]")])
    shown = Settings.model_fields[attribute].repr and attribute != "accounts"
    return SettingsError(name, _reason(first, shown=shown))


def _sid_in(table: object) -> str:
    sid = table.get("sid") if isinstance(table, dict) else None
    return sid if isinstance(sid, str) and is_sid(sid, "AC") else "without a valid sid"


def _reason(error: Any, *, shown: bool) -> str:
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    if error["type"] == "missing":
        return "missing"
    if error["type"] == "extra_forbidden":
        model = next((_NESTED[part] for part in reversed(error["loc"]) if part in _NESTED), Account)
        return f"no such key{suggestion(str(error['loc'][-1]), model.model_fields)}"
    reason = error["msg"][:1].lower() + error["msg"][1:]
    value = error["input"]
    return f"{reason}, not {value!r}" if shown and isinstance(value, str | int | float) else reason
