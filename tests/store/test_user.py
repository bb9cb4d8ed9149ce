"""The user of the store in docs/operations.md may do what the router does, and nothing else."""

import re
from pathlib import Path
from urllib.parse import quote

import pytest

from router.errors import StoreUnavailable
from router.store import connect, keys
from router.store.client import Client
from router.store.lanes import Room, new_token
from router.store.script import SCRIPTS
from tests import store_user
from tests.integrations.sending import settings
from tests.valkey import ValkeyServer

ACCOUNT = "AC" + "0a" * 16
# What redis-py sends on a new connection.
_HELLO = {"client", "select"}


def _used(valkey: ValkeyServer) -> set[str]:
    """Return the commands of the store's modules and scripts."""
    known = {name.decode() for name in Client(valkey.url).call("COMMAND", "LIST")}
    modules = " ".join(file.read_text() for file in Path(keys.__file__).parent.glob("*.py"))
    words = {word.lower() for word in re.findall(r'"([A-Z]+)"', modules)}
    for each in SCRIPTS.values():
        words |= {word.lower() for word in re.findall(r"redis\.call\('([A-Z]+)'", each.source.decode())}
    return words & known


def test_the_user_may_use_what_is_used_and_nothing_else(valkey: ValkeyServer) -> None:
    """Every command of a module or script is in the list of the documentation, and no other is."""
    assert store_user.commands() == _used(valkey) | _HELLO


def test_the_user_has_the_routers_keys_and_channels_only(valkey: ValkeyServer) -> None:
    """The documented user can accept and claim messages; other keys and channels and dangerous commands are refused."""
    admin = Client(valkey.url)
    admin.call("ACL", "SETUSER", store_user.NAME, "reset", "on", *store_user.rules())
    url = f"unix://{store_user.NAME}:{quote(store_user.PASSWORD, safe='')}@{valkey.socket_path}"
    store, client = connect(settings(ROUTER_REDIS_URL=url)), Client(url)
    try:
        store.lanes.accept(
            token=new_token(), account_sid=ACCOUNT, message_sid="SM" + "1" * 32, lane="1" * 24, disposition="queue",
            lease=False, versions=(), facts={"raw": b"body", "flow": "FO" + "1" * 32},
        )  # fmt: skip
        assert len(store.lanes.claim("0a", Room(1)).leases) == 1
        assert all(finding.good for finding in store.promise.findings() if finding.fatal)
        client.call("SPUBLISH", keys.chat_channel("0a"), "x")
        for words in (("GET", "other"), ("SPUBLISH", "other", "x"), ("FLUSHALL",), ("CONFIG", "SET", "save", "")):
            with pytest.raises(StoreUnavailable, match=r"[Nn]o permissions"):
                client.call(*words)
    finally:
        store.close()
        client.close()
        admin.call("ACL", "DELUSER", store_user.NAME)
        admin.close()
