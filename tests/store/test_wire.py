"""The connection to the store under gevent, as in a process that serves."""

import json
import subprocess
import sys
from pathlib import Path

from tests.valkey import ValkeyServer

_CALLS = """
from gevent import monkey
monkey.patch_all()
import json, sys, time
import gevent, greenlet
from router.errors import StoreUnavailable
from router.store.client import Client

client = Client(sys.argv[1], call_seconds=0.3)
client.call("SET", "long", "x" * 1_000_000)
looks = 0

def count(frame, event, function):
    global looks
    looks += event == "c_call" and function.__name__ in ("recv", "recv_into")

greenlet.settrace(lambda *_: sys.setprofile(count))
for _ in range(10):
    client.call("BLPOP", "nothing", 0.01)
greenlet.settrace(None)
sys.setprofile(None)

def failure(call):
    began = time.monotonic()
    try:
        call.get()
    except StoreUnavailable as error:
        return str(error), time.monotonic() - began

closed = gevent.spawn(client.call, "BLPOP", "nothing", 0)
gevent.sleep(0.05)
client.close()
why, _ = failure(closed)
again = client.call("STRLEN", "long")
silent, seconds = failure(gevent.spawn(client.call, "BLPOP", "nothing", 0))
client.close()
print(json.dumps([looks, why, again, silent, seconds]))
"""


def test_a_reply_costs_one_read_of_the_socket(valkey: ValkeyServer) -> None:
    """A call reads the socket once, when the reply is there; it ends when the connection closes or its time is over."""
    done = subprocess.run(
        [sys.executable, "-c", _CALLS, valkey.url],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert not done.returncode, done.stderr
    looks, why, again, silent, seconds = json.loads(done.stdout)
    assert looks == 10
    assert "closed" in why
    assert again == 1_000_000
    assert "did not answer" in silent
    assert 0.2 < seconds < 5
