"""The record of the router that runs in a data directory, by which commands find it: its settings and address."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from router.settings import Settings, load

_RECORD = "running.json"
_ACCOUNTS = "accounts"  # beside the variables in the record


@contextlib.contextmanager
def recorded(data_dir: Path, found: Mapping[str, str], accounts: Sequence[str]) -> Iterator[None]:
    """Record, as long as the router runs, the variables with which another command finds it, and its accounts.

    Args:
        data_dir: the data directory of the running router.
        found: no secrets: where the store, the configuration file and the addresses are.
        accounts: the SIDs of its accounts.
    """
    record = data_dir / _RECORD
    record.write_text(json.dumps({**found, _ACCOUNTS: accounts}), encoding="utf-8")
    try:
        yield
    finally:
        record.unlink(missing_ok=True)


def load_settings_for_cli(environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings as the running router has them.

    The environment comes first; what it leaves open is taken from the router that runs in the data directory: its
    store, its configuration (the demo's account), its addresses. `redis_url` is None when none runs and none is set.

    Raises:
        SettingsError: a setting does not parse.
    """
    given = dict(os.environ if environ is None else environ)
    settings = load(given)
    found = _record(settings)
    found.pop(_ACCOUNTS, None)
    return load(_without_rivals(found, given) | given) if found else settings


def _without_rivals(found: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Leave out of a record what says otherwise than the environment: NAME against NAME_FILE, another account."""
    own = {name.removesuffix("_FILE") for name, value in given.items() if value}
    if own & {"TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"}:
        own |= {"TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"}
    return {name: value for name, value in found.items() if name.removesuffix("_FILE") not in own}


def running_accounts(settings: Settings) -> tuple[str, ...]:
    """Return the SIDs of the accounts that the router in the data directory serves; none when none runs there."""
    return tuple(_record(settings).get(_ACCOUNTS, ()))


def _record(settings: Settings) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((settings.data_dir / _RECORD).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return found


def base_url(settings: Settings) -> str:
    """Return where the router of these settings is reached from this machine, as `http://127.0.0.1:8000`."""
    host, port = address(settings)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def address(settings: Settings) -> tuple[str, int]:
    """Return host and port to connect to; an address that means "all of them" is this machine's own."""
    host, port = listening(settings)
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port  # noqa: S104 - a key


def listening(settings: Settings) -> tuple[str, int]:
    """Return host and port to listen at."""
    host, _, port = settings.bind.rpartition(":")
    return host.strip("[]"), int(port)
