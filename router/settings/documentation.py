"""The settings in the documentation: the README's table, and `router run --help`."""

from dataclasses import dataclass
from typing import Final

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from router.environment import PREFIX
from router.settings.account import Account, ApiKey, SharedKey
from router.settings.settings import KEYS, TABLES, Settings
from router.settings.value import Kind, Table


@dataclass(frozen=True, slots=True)
class Row:
    """A setting in the documentation. `variable` is "" for a setting that only the file may have."""

    variable: str
    key: str
    type: str
    default: str
    help: str


_DEFAULT_TEXTS: Final = {"workers": "one per core"}
_FIRST_ROWS: Final = (
    Row("TWILIO_ACCOUNT_SID", "", "AC…", "", "The account; several accounts are [[account]] tables in the file"),
    Row("TWILIO_AUTH_TOKEN", "", "secret", "", "The account's auth token"),
    Row("ROUTER_CONFIG", "", "path", "", "A TOML file with settings; the environment takes precedence over it"),
)


def table() -> list[Row]:
    """Return all settings for the documentation; those that only the file may have are last."""
    rows = [*_FIRST_ROWS]
    for attribute, key in ((name, KEYS.get(name, name)) for name in Settings.model_fields):
        if key not in TABLES:
            rows.append(_row(key, Settings.model_fields[attribute], variable=PREFIX + key.upper()))
    tables: dict[str, type[Table]] = {
        "account": Account,
        "account.shared_keys": SharedKey,
        "account.api_keys": ApiKey,
    }
    for prefix, model in tables.items():
        rows += [_row(f"{prefix}.{name}", field) for name, field in model.model_fields.items()]
    return [*rows, _row("handlers", Settings.model_fields["handlers"])]


def _row(key: str, field: FieldInfo, *, variable: str = "") -> Row:
    kind = next(each for each in field.metadata if isinstance(each, Kind))
    return Row(variable, key, str(kind), _DEFAULT_TEXTS.get(key) or _text(field.default), field.description or "")


def _text(default: object) -> str:
    if isinstance(default, tuple):
        return ", ".join(_text(each) for each in default)
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, float):
        return f"{default:g}"
    return "" if default in (None, {}, PydanticUndefined) else str(default)
