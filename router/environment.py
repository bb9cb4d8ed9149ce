"""The sources of settings: variables, the TOML file that ROUTER_CONFIG names, and files that contain one secret each.

This module does not interpret values. It checks names, and gives the environment precedence over the file.
"""

import re
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from router.errors import SettingsError
from router.sid import is_sid

PREFIX: Final = "ROUTER_"
CONFIG: Final = "ROUTER_CONFIG"

# Kubernetes sets such variables in every container of a namespace with a service named "router".
_KUBERNETES = re.compile(r"ROUTER_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_\w+)")
_KUBERNETES_PORT = re.compile(r"(tcp|udp|sctp)://\S+")


@dataclass(frozen=True, slots=True)
class Given:
    """The values of the given settings, by key, and the name that the operator used for each."""

    values: Mapping[str, Any]
    names: Mapping[str, str]


def read(environ: Mapping[str, str], keys: Collection[str], tables: Collection[str]) -> Given:
    """Read the given settings.

    An empty variable counts as not set, because compose files pass an unset variable as an empty one.

    Args:
        environ: the variables of the process.
        keys: the settings by their names in the file; variables have the prefix and capitals.
        tables: the settings that only the file may have.

    Raises:
        SettingsError: an unknown name, or a file that cannot be read.
    """
    values: dict[str, Any] = {}
    names: dict[str, str] = {}
    path = environ.get(CONFIG, "")
    held = _toml(path) if path else {}
    _refuse_unknown(held, [*tables, *_with_files(keys)], f" in {path}")
    _refuse_unknown(
        (name for name in environ if name.startswith(PREFIX) and not _is_kubernetes(name, environ[name])),
        [CONFIG, *_with_files(PREFIX + key.upper() for key in keys)],
        "",
    )
    for key in (*tables, *keys):
        value = pick(held, key, f" in {path}")
        if value is not None:
            values[key], names[key] = value, f"{key} in {path}"
    for key in keys:
        value = pick(environ, PREFIX + key.upper())
        if value is not None:
            values[key], names[key] = value, PREFIX + key.upper()
    return Given(values, names)


def pick(source: Mapping[str, Any], name: str, where: str = "") -> Any:
    """Return the value of `name`, or the content of the file that `name_file` (or `NAME_FILE`) names, or None.

    Raises SettingsError if both are given, or the file cannot be read; it names the setting, and shows no content.
    """
    file_name = name + ("_FILE" if name.isupper() else "_file")
    value, path = (None if source.get(each) == "" else source.get(each) for each in (name, file_name))
    if path is None:
        return value
    if value is not None:
        raise SettingsError(name + where, f"{file_name} is given as well; leave one of them out")
    try:
        return Path(path).read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, TypeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "the path is not a text"
        raise SettingsError(file_name + where, f"cannot read {path!r}: {reason}") from None
    except UnicodeDecodeError:
        raise SettingsError(file_name + where, f"{path!r} is not UTF-8 text") from None


def with_account_of(environ: Mapping[str, str], tables: Any) -> Any:
    """Put the account that TWILIO_ACCOUNT_SID names before those of the file's `[[account]]` tables.

    If the file has a table for this account, TWILIO_AUTH_TOKEN comes before the tokens of the table. Tables of a wrong
    shape are returned unchanged; the parser refuses them.
    """
    sid, token = pick(environ, "TWILIO_ACCOUNT_SID"), pick(environ, "TWILIO_AUTH_TOKEN")
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        return tables
    if sid is None and token is None:
        return tables
    if sid is None:
        raise SettingsError("TWILIO_ACCOUNT_SID", "not set, but TWILIO_AUTH_TOKEN is; they go together")
    if not is_sid(sid, "AC"):
        raise SettingsError("TWILIO_ACCOUNT_SID", "not the SID of an account, which is AC and 32 hexadecimal digits")
    own: dict[str, Any] = next((table for table in tables if table.get("sid") == sid), {})
    if token is None and not own:
        raise SettingsError("TWILIO_AUTH_TOKEN", "not set, but TWILIO_ACCOUNT_SID is; they go together")
    if token is not None:
        try:
            check_secret(token)
        except ValueError as error:
            raise SettingsError("TWILIO_AUTH_TOKEN", str(error)) from None
        others = listed(own.get("auth_tokens", []))
        others = others if isinstance(others, list) else [others]
        own = own | {"sid": sid, "auth_tokens": [token, *(each for each in others if each != token)]}
    return [own, *(table for table in tables if table.get("sid") != sid)]


def listed(value: Any) -> Any:
    """Split a comma-separated list, as variables have it; values that are not strings are returned unchanged."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def check_secret(value: str) -> str:
    """Return a secret; raise ValueError, which never shows it, if it was copied wrongly."""
    if not value or any(character.isspace() or not character.isprintable() for character in value):
        raise ValueError("is empty or holds white space: copy it again, without quotes and line ends")
    return value


def check_password(value: str) -> str:
    """Return a password, which may contain blanks; raise ValueError, which never shows it, if it was copied wrongly."""
    if value != value.strip() or not value.isprintable():
        raise ValueError("begins or ends with white space, or holds a line break or control character: copy it again")
    return value


def suggestion(unknown: str, known: Iterable[str]) -> str:
    """Return the known name that was probably meant, as the end of a sentence; "" if no name is similar."""
    near = get_close_matches(unknown, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _with_files(names: Iterable[str]) -> list[str]:
    return [each for name in names for each in (name, name + ("_FILE" if name.isupper() else "_file"))]


def _refuse_unknown(given: Iterable[str], known: list[str], where: str) -> None:
    for name in given:
        if name not in known:
            raise SettingsError(name + where, f"no such setting{suggestion(name, known)}")


def _is_kubernetes(name: str, value: str) -> bool:
    if name == "ROUTER_PORT":
        return _KUBERNETES_PORT.fullmatch(value) is not None
    return _KUBERNETES.fullmatch(name) is not None


def _toml(path: str) -> Mapping[str, Any]:
    try:
        with Path(path).open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise SettingsError(CONFIG, f"cannot read {path!r}: {error.strerror}") from None
    except ValueError as error:  # TOMLDecodeError, UnicodeDecodeError, or an integer of thousands of digits
        raise SettingsError(CONFIG, f"{path} is not valid TOML: {error}") from None
