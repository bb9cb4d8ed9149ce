"""The demo's first flows, given once to an account that has none: `python -m router.cli.run.seed` prints how many.

A process of its own, so that the one that supervises never imports the Redis client.
"""

import os
import sys
import time
from pathlib import Path

from router.errors import RouterError
from router.flow import file as flow_file
from router.settings import Settings, load
from router.sid import new_sid
from router.store import connect

FLOWS = Path(__file__).parents[2] / "demo" / "flows.toml"
# In the data directory: the accounts, one on a line, that were given the demo's flows or had flows of their own.
SEEDED = "seeded-accounts"


def seed(settings: Settings) -> int:
    """Give the first account the demo's flows if it never had a flow here; return how many it was given.

    Whoever removes the last flow wants none: an account is looked at once for each data directory.

    Raises:
        RouterError: the store does not answer, or the file is wrong.
    """
    sid = settings.accounts[0].sid
    seeded = settings.data_dir / SEEDED
    if seeded.exists() and sid in seeded.read_text(encoding="utf-8").splitlines():
        return 0
    given = _give(settings, sid)
    with seeded.open("a", encoding="utf-8") as file:
        file.write(f"{sid}\n")
    return given


def _give(settings: Settings, sid: str) -> int:
    store = connect(settings)
    try:
        if store.flows.count(sid):
            return 0
        flows = flow_file.load(
            FLOWS.read_text(encoding="utf-8"),
            file=FLOWS.name,
            account_sid=sid,
            handlers=settings.handlers_of(sid),
            now=int(time.time()),
            new_sid=lambda: new_sid("FO"),
        )
        store.flows.put_all([(each.flow, None) for each in flows])
        return len(flows)
    finally:
        store.close()


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{seed(load(os.environ))}\n")
    except RouterError as error:
        sys.exit(f"router: {error}")
