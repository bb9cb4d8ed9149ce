"""The router as it runs in production: gunicorn masters over one Valkey, and a Twilio that signs what it sends."""

import http.client
import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from twilio.request_validator import RequestValidator

from router.process.preload import FOUND
from tests.e2e.forked import Forked, start_gunicorn
from tests.e2e.running import NO_AUTHORITIES, clean_environ
from tests.ports import free_port
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config" / "gunicorn.conf.py"
ACCOUNT = "AC" + "5" * 32
TOKEN = "5" * 32
BASE = "https://router.example.com"
OWN = "its own address"
OURS = "+15550000001"
# What `router run` tells gunicorn about an empty store. Without it, gunicorn starts a process that asks the store, for
# 0.15 s of processor time.
EMPTY_STORE = {FOUND: json.dumps({"languages": [], "faults": []})}


def sid(number: int, prefix: str = "SM") -> str:
    """Make the SID of message `number`."""
    return f"{prefix}{number:032x}"


def parameters(number: int, theirs: str, **more: str) -> dict[str, str]:
    """Write an SMS as Twilio does, from `theirs` to us."""
    return {
        "ToCountry": "US", "SmsMessageSid": sid(number), "NumMedia": "0", "SmsSid": sid(number),
        "SmsStatus": "received", "Body": f"message {number}", "FromCountry": "US", "To": OURS, "NumSegments": "1",
        "MessageSid": sid(number), "AccountSid": ACCOUNT, "From": theirs, "ApiVersion": "2010-04-01",
    } | more  # fmt: skip


class Service:
    """Gunicorn with the real application; `config` is further TOML for its settings.

    Twilio signs for `public_url`; "" sets no public URL, and OWN sets the router's own address.
    Without a `command`, gunicorn's master is forked (forked.py).
    """

    def __init__(  # noqa: PLR0913 - settings, by name
        self,
        folder: Path,
        redis_url: str,
        *,
        workers: int = 2,
        config: str = "",
        public_url: str = BASE,
        command: Sequence[str | Path] = (),
        **environ: str,
    ) -> None:
        self.folder = folder
        self._command = command
        self.port = free_port()
        self.tunnel_port = self.port + 1  # which is free, too
        own = f"http://127.0.0.1:{self.port}"
        public = [own if public_url == OWN else public_url] if public_url else []
        settings = folder / "router.toml"
        settings.write_text(
            f"""
redis_url = "{redis_url}"
bind = "127.0.0.1:{self.port}"
tunnel_port = {self.tunnel_port}
workers = {workers}
public_url = {public}
allowed_networks = ["127.0.0.0/8"]
lease_seconds = 9
retry_delays = [0.2, 0.5, 1]
{config}

[[account]]
sid = "{ACCOUNT}"
auth_tokens = ["{TOKEN}"]
""",
            encoding="utf-8",
        )
        self._environ = clean_environ(**NO_AUTHORITIES | {"ROUTER_CONFIG": str(settings)} | environ)
        self.log = folder / f"log-{self.port}"
        self.process: subprocess.Popen[bytes] | Forked | None = None
        self.start()

    def start(self) -> None:
        """Start the master, and wait until it serves."""
        if self._command:
            with self.log.open("ab") as log:
                self.process = subprocess.Popen(
                    self._command, cwd=self.folder, env=self._environ, stderr=log, process_group=0
                )
        else:
            self.process = start_gunicorn(CONFIG, self.folder, self._environ, self.log)
        wait_until(self._serves, what="the router serves", within=60)

    def _serves(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        try:
            return self.get("/healthz")[0] == 200
        except OSError:
            return False

    def workers(self) -> list[int]:
        """Return the process ids of the workers."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def kill(self) -> None:
        """Kill master and workers, as a power cut would."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Stop gracefully; return the exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=60)

    def close(self) -> None:
        """End whatever is left."""
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def request(
        self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Send one request on a connection of its own; return status, headers and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, target, body or None, dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def get(self, target: str) -> tuple[int, bytes]:
        """Send a GET with the account's credentials."""
        import base64

        basic = base64.b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
        status, _, body = self.request("GET", target, headers={"Authorization": f"Basic {basic}"})
        return status, body

    def json(self, target: str) -> Any:
        """Fetch a resource."""
        return json.loads(self.get(target)[1])

    def webhook(
        self, fields: Mapping[str, str], path: str = "/webhooks/sms", headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Send a signed webhook as Twilio does, signed by the official library."""
        signature = RequestValidator(TOKEN).compute_signature(BASE + path, fields)
        given = {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Twilio-Signature": signature,
            "User-Agent": "TwilioProxy/1.1",
        } | dict(headers or {})
        return self.request("POST", path, urlencode(fields).encode(), given)
