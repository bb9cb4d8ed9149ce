"""`flows apply`, REST `warnings` and `router doctor` give the same warnings about flows."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from router.store.processes import Process, Served
from router.twilio_api.connections import ConnectedWebhook, Connections
from router.twilio_api.webhooks import FIELDS
from tests.e2e.commands import external, invoke
from tests.valkey import ValkeyServer
from tests.web.rest import BASE, ONE, Rest, rest_over

OURS = "+15550000001"
URL = "https://example.com/in"


class Driver:
    """A store, the application over it, and the commands with the same store."""

    def __init__(self, rest: Rest, folder: Path) -> None:
        self.rest, self.folder = rest, folder

    def cli(self, *args: str, given: str = "") -> Result:
        """Run a command."""
        return invoke(
            *args,
            given=given,
            ROUTER_CONFIG=str(self.folder / "router.toml"),
            ROUTER_REDIS_URL=self.rest.valkey.url,
            ROUTER_DATA_DIR=str(self.folder / "var"),
        )

    def applied(self, file: str) -> tuple[str, list[str]]:
        """Apply a file; return the output, and the JSON warnings of a second dry run."""
        said = self.cli("flows", "apply", "-", "--account", ONE, given=file)
        assert said.exit_code == 0, said.output + said.stderr
        reported = self.cli("flows", "apply", "-", "--account", ONE, "--json", "--dry-run", given=file)
        return said.output, [each["warning"] for each in json.loads(reported.output)["warnings"]]

    def by_rest(self) -> list[str]:
        """Update each flow by REST and return all warnings."""
        sids = self.rest.listed("/v1/FlexFlows")
        replies = [self.rest.call("POST", f"/v1/FlexFlows/{sid}", {"FriendlyName": f"F {sid}"}) for sid in sids]
        return [warning for reply in replies for warning in reply.json["warnings"]]

    def doctor(self) -> list[dict[str, Any]]:
        """Return the doctor's checks."""
        checks: list[dict[str, Any]] = json.loads(self.cli("doctor", "--offline", "--json").output)["checks"]
        return checks


@contextmanager
def _desk(valkey: ValkeyServer, folder: Path, base: str = BASE) -> Iterator[Driver]:
    with rest_over(valkey, folder, base=base) as rest:
        yield Driver(rest, folder)


@pytest.fixture
def driver(valkey: ValkeyServer, tmp_path: Path) -> Iterator[Driver]:
    """A driver with an empty store."""
    with _desk(valkey, tmp_path) as made:
        yield made


def _speaking(*languages: str) -> str:
    """Write a file with one flow for each language at one address, "" for the default."""
    flows = [external(OURS, URL, **({"language": f'["{tag}"]'} if tag else {})) for tag in languages]
    return "".join(each.replace('"To', f'"{number} To') for number, each in enumerate(flows))


@pytest.mark.parametrize(
    ("file", "says"),
    [
        pytest.param(external(OURS, "http://10.0.0.5/in"), "goes to 10.0.0.5, a private address", id="private target"),
        pytest.param(_speaking("es", "en"), "without a default flow", id="languages without a default"),
        pytest.param(_speaking("spanish", ""), "did you mean es?", id="spanish"),
        pytest.param(external("+1500555005O", URL), "did you mean +15005550050?", id="the letter O"),
        pytest.param(_speaking("es", "pt", ""), "and not en", id="an English sibling"),
    ],
)
def test_a_warning_is_reported_everywhere(driver: Driver, file: str, says: str) -> None:
    """Each warning is in the output of `apply`, in its JSON, in REST `warnings` and in `doctor`."""
    said, reported = driver.applied(file)
    assert says in said
    assert any(says in each for each in reported)
    assert any(says in each for each in driver.by_rest())
    (check,) = [each for each in driver.doctor() if says in each["found"]]
    assert check["state"] in {"look", "bad"}
    assert check["advice"]


def test_a_private_network_that_the_running_router_allows_is_no_warning(driver: Driver) -> None:
    """A command does not warn of a private target that the running router's settings allow."""
    serves = Served((ONE,), {}, ("10.0.0.0/8",))
    process = Process("m", "host", 1, 1, "127.0.0.1:8000", (), serves.name())
    driver.rest.store.processes.announce(process, None, serves)
    said, reported = driver.applied(external(OURS, "http://10.0.0.5/in"))
    assert ("a private address" in said, reported) == (False, [])
    assert not [each for each in driver.doctor() if "a private address" in each["found"]]


def test_flows_without_faults_have_no_warnings(driver: Driver) -> None:
    """Two language flows, one of them English, and a default flow have no warning."""
    said, reported = driver.applied(_speaking("es", "en", ""))
    assert "!" not in said.replace("! no router runs with this store", "")
    assert (reported, driver.by_rest()) == ([], [])
    assert not [each for each in driver.doctor() if each["name"] == "flows"]


def test_a_public_url_with_the_path_of_a_webhook_is_reported_everywhere(valkey: ValkeyServer, tmp_path: Path) -> None:
    """A ROUTER_PUBLIC_URL with the path of a webhook is reported by `apply`, its JSON, REST and `doctor`."""
    says = f"the public URL {BASE}/webhooks/sms ends with the path of a webhook"
    with _desk(valkey, tmp_path, f"{BASE}/webhooks/sms") as driver:
        said, reported = driver.applied(external(OURS, URL))
        assert says in said
        assert any(says in each for each in reported)
        created = driver.rest.call(
            "POST",
            "/v1/FlexFlows",
            {"ChannelType": "whatsapp", "FriendlyName": "x", "ChatServiceSid": "IS" + "1" * 32, "Integration.Url": URL},
        )
        assert any(says in each for each in created.json["warnings"])
        assert [each["state"] for each in driver.doctor() if says in each["found"]] == ["bad"]


def test_an_address_that_points_here_without_a_flow_is_reported(driver: Driver) -> None:
    """A connected number without a flow is reported by `apply` and `doctor`, an address that lost its flow by REST."""
    (driver.folder / "var").mkdir()
    webhook = dict.fromkeys(FIELDS["number"], "")
    Connections(driver.folder / "var").put(
        ConnectedWebhook(
            kind="number",
            sid="PN" + "1" * 32,
            name="+15550000002",
            account_sid=ONE,
            base=BASE,
            tunnel=False,
            before=webhook,
            ours=(webhook,),
            holder="",
            at=1,
        )
    )
    says = "points to this router, but no enabled flow takes its sms messages"
    said, reported = driver.applied(external(OURS, URL))
    assert f"! +15550000002 {says}" in said
    assert reported == [f"+15550000002 {says}: they are unrouted"]
    assert [each["state"] for each in driver.doctor() if f"+15550000002 {says}" in each["found"]] == ["look"]
    driver.rest.store.outages.note_seen(ONE, [OURS], now=time.time())
    assert driver.by_rest() == []
    (sid,) = driver.rest.listed("/v1/FlexFlows")
    (warning,) = driver.rest.call("POST", f"/v1/FlexFlows/{sid}", {"Enabled": "false"}).json["warnings"]
    assert warning.startswith(f"{OURS} {says}")
    assert says in driver.cli("flows", "disable", sid).output
