"""`router doctor`: its findings about refused requests and about a set-up, for people and for scripts."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from click.testing import CliRunner
from twilio.request_validator import RequestValidator

from router.cli import main
from router.flow.flex_flow import FlexFlow, Integration
from router.store.client import Client
from router.store.flows import FlowStore
from router.store.keys import AccountKeys
from router.store.refusals import EACH, Refusals
from router.tunnel_address import TunnelRecord
from tests.e2e.service import ACCOUNT, OURS, OWN, TOKEN, Service, parameters
from tests.e2e.twilio_rest import TwilioRest
from tests.integrations.target import Target, answer
from tests.ports import free_port
from tests.valkey import ValkeyServer
from tests.waiting import wait_until

FORM = "application/x-www-form-urlencoded"


class Clinic:
    """A router whose public URL is its own address, a Twilio account, and `router doctor` over them."""

    def __init__(self, folder: Path, valkey: ValkeyServer, twilio: TwilioRest) -> None:
        self.valkey = valkey
        self.twilio = twilio
        self.service = Service(folder, valkey.url, workers=1, public_url=OWN)
        self.base = f"http://127.0.0.1:{self.service.port}"
        self._config = str(folder / "router.toml")

    def ask(self, *options: str, **environ: str) -> tuple[int, dict[str, Any]]:
        """Return the exit status and the doctor's JSON."""
        status, text = self.read("--json", *options, **environ)
        return status, json.loads(text)

    def read(self, *options: str, **environ: str) -> tuple[int, str]:
        """Return the exit status and the doctor's text."""
        given = {
            "ROUTER_CONFIG": self._config,
            "ROUTER_PUBLIC_URL": self.base,
            "ROUTER_TWILIO_API_URL": self.twilio.url,
        }
        ended = CliRunner().invoke(main, ["doctor", *options], env=given | environ, catch_exceptions=False)
        return ended.exit_code, ended.output

    def send(self, path: str, fields: dict[str, str], signed: str, token: str = TOKEN) -> int:
        """Send a webhook whose signature is over another URL."""
        signature = RequestValidator(token).compute_signature(signed, fields)
        headers = {"Content-Type": FORM, "X-Twilio-Signature": signature}
        return self.service.request("POST", path, urlencode(fields).encode(), headers)[0]

    def refusals(self) -> Refusals:
        """Open the record of refusals."""
        return Refusals(Client(self.valkey.url), [ACCOUNT])

    def forget(self) -> None:
        """Forget everything that was sent and set."""
        self.valkey.command("FLUSHALL SYNC")


@pytest.fixture(scope="module")
def _clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    valkey = ValkeyServer()
    with TwilioRest(ACCOUNT, TOKEN) as twilio:
        clinic = Clinic(tmp_path_factory.mktemp("clinic"), valkey, twilio)
        yield clinic
        clinic.service.close()
    valkey.close()


@pytest.fixture
def clinic(_clinic: Clinic) -> Clinic:
    """A clinic where every check passes: one number, which points here."""
    _clinic.forget()
    _clinic.twilio.status = "active"
    _clinic.twilio.numbers.clear()
    _clinic.twilio.services.clear()
    _clinic.twilio.senders.clear()
    _clinic.twilio.number(OURS, f"{_clinic.base}/webhooks/sms")
    return _clinic


def bad(report: dict[str, Any]) -> list[str]:
    """Return the names of the checks that failed."""
    return [check["name"] for check in report["checks"] if check["state"] == "bad"]


def found(report: dict[str, Any], name: str) -> str:
    """Return all that was found under a name."""
    return "\n".join(check["found"] for check in report["checks"] if check["name"] == name)


def flow(url: str, **more: Any) -> FlexFlow:
    """Make a flow for our number."""
    return FlexFlow(
        sid="FO" + "1" * 32,
        account_sid=ACCOUNT,
        friendly_name="Support",
        chat_service_sid="IS" + "1" * 32,
        channel_type="sms",
        contact_identity=OURS,
        integration=Integration("external", url=url),
        **more,
    )


def test_a_healthy_set_up_passes(clinic: Clinic) -> None:
    """If nothing is wrong the exit status is 0, and each part was checked, the public URL included."""
    status, report = clinic.ask()

    assert (status, report["good"], bad(report)) == (0, True, [])
    names = {check["name"] for check in report["checks"] if check["state"] == "good"}
    assert {"settings", "store", "clock", "router", "public URL", "Twilio", "numbers", "messages", "load"} <= names
    assert "a signed request came through" in found(report, "public URL")
    assert found(report, "numbers").startswith("1 of 1 addresses")


@pytest.mark.parametrize(
    ("path", "signed", "cause"),
    [
        ("/webhooks/sms", "https://127.0.0.1:{port}/webhooks/sms", "scheme"),
        ("/webhooks/sms?x=1+2", "http://127.0.0.1:{port}/webhooks/sms?x=1%202", "query_encoding"),
    ],
)
def test_a_refused_request_is_explained(clinic: Clinic, path: str, signed: str, cause: str) -> None:
    """What Twilio signed and the router refused fails the check, with its cause and what to change."""
    assert clinic.send(path, parameters(1, "+15550000002"), signed.format(port=clinic.service.port)) == 403
    wait_until(lambda: clinic.refusals().newest(), what="it is recorded")

    status, report = clinic.ask("--offline")

    assert (status, bad(report)) == (1, ["signatures"])
    (refusal,) = report["refusals"]
    assert [finding["cause"] for finding in refusal["findings"]] == [cause]
    assert refusal["account_sid"] == ACCOUNT
    text = clinic.read("--offline")[1]
    assert f"{cause}: " in text
    assert "→ " in text


def test_the_report_of_a_refusal_holds_no_message(clinic: Clinic) -> None:
    """The report has no text, number, query, signature or token, nor has its JSON; addresses are masked."""
    fields = parameters(2, "+15551234567", Body="a secret text")
    signed = f"{clinic.base}/webhooks/sms?password=hidden"
    assert clinic.send("/webhooks/sms?password=zebra", fields, signed) == 403
    wait_until(lambda: clinic.refusals().newest(), what="it is recorded")

    said = clinic.read("--offline")[1]
    programs = json.dumps(clinic.ask("--offline")[1]["refusals"]).replace(ACCOUNT, "")

    signature = RequestValidator(TOKEN).compute_signature(signed, fields)
    for hidden in ("a secret text", "5551234567", "hidden", "zebra", TOKEN, signature, signature[:10]):
        assert hidden not in said
        assert hidden not in programs
    assert "+15•••67" in said


def test_no_control_character_of_a_refusal_is_shown(clinic: Clinic) -> None:
    """Text that a stranger sent cannot move the cursor, reverse text or add a line, with and without `--json`."""
    evil = "\x1b[2J\x9b31m\N{RIGHT-TO-LEFT OVERRIDE}"
    fields = parameters(3, f"+15551234567{evil}", AccountSid=f"AC{evil}", To=evil, **{evil: "1"})
    assert clinic.send(f"/webhooks/sms?{quote(evil)}=1", fields, "http://x/") == 403
    wait_until(lambda: clinic.refusals().newest(), what="it is recorded")
    for said in (clinic.read("--offline")[1], json.dumps(clinic.ask("--offline")[1], ensure_ascii=False)):
        assert all(character.isprintable() or character == "\n" for character in said)


def test_a_flood_is_only_counted(clinic: Clinic) -> None:
    """Many refusals in a second leave one record of each account; what Twilio signed is not hidden by strangers'."""
    strangers = parameters(3, "+15550000002", AccountSid="AC" + "9" * 32)
    for _ in range(20):
        assert clinic.send("/webhooks/sms", strangers, "http://x/") == 403
    ours = parameters(4, "+15550000002")
    assert clinic.send("/webhooks/sms", ours, f"https://127.0.0.1:{clinic.service.port}/webhooks/sms") == 403
    for _ in range(20):
        assert clinic.send("/webhooks/sms", strangers, "http://x/") == 403

    def counted() -> bool:
        kept = clinic.refusals().newest()
        return len(kept) + sum(each.others for each in kept) >= 41

    wait_until(counted, what="all are counted")
    reported = clinic.ask("--offline", "--limit", "50")[1]["refusals"]
    assert len(reported) <= EACH
    assert [each["findings"][0]["cause"] for each in reported if each["matched"]] == ["scheme"]


def test_a_refusal_is_over_when_its_cause_is_repaired(clinic: Clinic) -> None:
    """Once a message to the same address is accepted, the check passes, and names the time and the earlier cause."""
    fields = parameters(7, "+15550000002")
    assert clinic.send("/webhooks/sms", fields, f"https://127.0.0.1:{clinic.service.port}/webhooks/sms") == 403
    wait_until(lambda: clinic.refusals().newest(), what="it is recorded")
    good = f"{clinic.base}/webhooks/sms"
    another = parameters(8, "+15550000002", To="+15550000009")
    fallback = parameters(9, "+15550000002", ErrorCode="11200")
    for sent in (another, fallback):
        assert clinic.send("/webhooks/sms", sent, good) == 200
    assert bad(clinic.ask("--offline")[1]) == ["signatures"]

    assert clinic.send("/webhooks/sms", parameters(10, "+15550000002"), good) == 200

    status, report = clinic.ask("--offline")
    assert (status, bad(report)) == (0, [])
    assert "scheme. Repaired: a message was accepted now" in found(report, "signatures")
    (refusal,) = report["refusals"]
    assert refusal["over"] > refusal["at"]
    assert "Repaired: a later message was accepted" in clinic.read("--offline")[1]

    assert clinic.send("/webhooks/sms", fields, f"https://127.0.0.1:{clinic.service.port}/webhooks/sms") == 403
    wait_until(lambda: len(clinic.refusals().newest()) > 1, what="it is recorded")
    assert bad(clinic.ask("--offline")[1]) == ["signatures"]


def test_a_path_prefix_is_diagnosed_like_a_signature(clinic: Clinic) -> None:
    """A proxy passes its prefix on: the 404 is in the log, and the doctor says that the prefix must be taken away."""
    path = "/router/webhooks/sms"
    assert clinic.send(path, parameters(11, "+15550000002"), clinic.base + path) == 404
    wait_until(lambda: clinic.refusals().newest(), what="it is recorded")

    status, report = clinic.ask("--offline")

    assert (status, bad(report)) == (1, ["signatures"])
    (refusal,) = report["refusals"]
    assert [finding["cause"] for finding in refusal["findings"]] == ["path_prefix"]
    assert "let the proxy remove /router" in refusal["findings"][0]["advice"]
    assert '"reason":"no webhook at this path"' in clinic.service.log.read_text()


def test_strangers_do_not_fail_the_check(clinic: Clinic) -> None:
    """A request that none of our keys signed is reported, and the exit status stays 0: any stranger can send one."""
    assert clinic.send("/webhooks/sms", parameters(5, "+15550000002"), clinic.base, token="0" * 32) == 403
    wait_until(lambda: clinic.refusals().newest(), what="it is recorded")
    status, report = clinic.ask("--offline")
    assert (status, bad(report)) == (0, [])
    assert [finding["cause"] for finding in report["refusals"][0]["findings"]] == ["unknown_key"]
    assert [each["state"] for each in report["checks"] if each["name"] == "signatures"] == ["look"]
    assert clinic.send("/webhooks/sms", parameters(6, "+15550000002"), f"{clinic.base}/webhooks/sms") == 200
    (check,) = [each for each in clinic.ask("--offline")[1]["checks"] if each["name"] == "signatures"]
    assert check["state"] == "good", "as after a new auth token was put into the settings"
    assert "none of our keys signed" in check["found"]


def test_a_missing_public_url_is_found(clinic: Clinic, tmp_path: Path) -> None:
    """Without a public URL the doctor says what is refused, why one is safer, and which request's host was refused."""
    service = Service(tmp_path, clinic.valkey.url, workers=1, public_url="")
    try:
        fields = parameters(6, "+15550000002")
        signature = RequestValidator(TOKEN).compute_signature("http://target.example/webhooks/sms", fields)
        headers = {"Content-Type": FORM, "X-Twilio-Signature": signature, "Host": "target.example"}
        assert service.request("POST", "/webhooks/sms", urlencode(fields).encode(), headers)[0] == 403
        wait_until(lambda: clinic.refusals().newest(), what="it is recorded")
        environ = {"ROUTER_CONFIG": str(tmp_path / "router.toml"), "ROUTER_PUBLIC_URL": ""}

        status, report = clinic.ask("--offline", **environ)

        assert (status, bad(report)) == (1, ["settings", "signatures"])
        assert "the router answers every webhook of Twilio 403" in found(report, "settings")
        assert "the host 'target.example' is not trusted" in report["refusals"][0]["reason"]
        assert [finding["cause"] for finding in report["refusals"][0]["findings"]] == ["host"]
        _, report = clinic.ask("--offline", ROUTER_TRUSTED_PROXIES="10.0.0.1", **environ)
        (check,) = [each for each in report["checks"] if each["found"].startswith("no ROUTER_PUBLIC_URL")]
        assert check["state"] == "look"
        assert "a target can replay the router's requests as Twilio's" in check["advice"]
    finally:
        service.close()


def test_a_public_url_that_changes_the_signature_is_found(clinic: Clinic) -> None:
    """A public URL other than the router's is reached and refused; the second `router doctor` names the cause."""
    with_name = f"http://localhost:{clinic.service.port}"
    status, report = clinic.ask(ROUTER_PUBLIC_URL=with_name)
    assert status == 1
    assert "public URL" in bad(report)
    assert "refused a signed request" in found(report, "public URL")
    wait_until(lambda: clinic.refusals().newest(), what="it is recorded")
    causes = [finding["cause"] for finding in clinic.ask("--offline")[1]["refusals"][0]["findings"]]
    assert causes == ["host"]


@pytest.mark.parametrize("up", [True, False], ids=["another server", "no server"])
def test_a_dead_public_url_is_found(clinic: Clinic, *, up: bool) -> None:
    """A public URL at which no server answers, or another one such as a tunnel's own page, is reported."""
    with Target() as target:
        target.script["/webhooks/message"] = _page
        base = target.url("").rstrip("/") if up else f"http://127.0.0.1:{free_port()}"
        status, report = clinic.ask(ROUTER_PUBLIC_URL=base)
    assert status == 1
    assert "public URL" in bad(report)


def _page(caller: Any) -> bool:
    return bool(caller.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nHello")) and False


def _with_flow(clinic: Clinic) -> None:
    FlowStore(Client(clinic.valkey.url)).put(flow("http://127.0.0.1:9/"))


def _number_elsewhere(clinic: Clinic) -> None:
    clinic.twilio.numbers[0]["sms_url"] = "https://demo.twilio.com/welcome/sms/reply"
    FlowStore(Client(clinic.valkey.url)).put(flow("http://127.0.0.1:9/", enabled=False))


def _service_elsewhere(clinic: Clinic) -> None:
    clinic.twilio.service("MG" + "1" * 32, "https://elsewhere.example.com/", OURS)
    FlowStore(Client(clinic.valkey.url)).put(flow("http://127.0.0.1:9/", enabled=False))


def _application_elsewhere(clinic: Clinic) -> None:
    clinic.twilio.numbers[0]["sms_application_sid"] = "AP" + "1" * 32
    clinic.twilio.applications["AP" + "1" * 32] = {"sms_url": "https://elsewhere.example.com/"}
    FlowStore(Client(clinic.valkey.url)).put(flow("http://127.0.0.1:9/", enabled=False))


def _suspended(clinic: Clinic) -> None:
    clinic.twilio.status = "suspended"


@pytest.mark.parametrize(
    ("harm", "name", "says"),
    [
        pytest.param(_with_flow, "flows", "cannot be connected to", id="a target that does not answer"),
        pytest.param(_number_elsewhere, "numbers", "https://demo.twilio.com/welcome", id="a number points elsewhere"),
        pytest.param(_service_elsewhere, "numbers", f"by Messaging Service MG{'1' * 32}", id="its service decides"),
        pytest.param(_application_elsewhere, "numbers", f"by application AP{'1' * 32}", id="its application decides"),
        pytest.param(_suspended, "Twilio", "suspended", id="a suspended account"),
    ],
)
def test_what_is_wrong_is_found(clinic: Clinic, harm: Callable[[Clinic], None], name: str, says: str) -> None:
    """Each fault is reported, with what to do, and the exit status is 1."""
    harm(clinic)
    status, report = clinic.ask()
    assert (status, bad(report)) == (1, [name])
    (check,) = [check for check in report["checks"] if check["state"] == "bad"]
    assert says in check["found"]
    assert check["advice"]


@pytest.mark.parametrize(
    ("setting", "weak", "state"), [("appendonly", "no", "bad"), ("appendfsync", "everysec", "look")]
)
def test_a_store_that_promises_less_is_found(clinic: Clinic, setting: str, weak: str, state: str) -> None:
    """A store without an append-only file is a fault; one that may lose a second is worth a look."""
    good = {"appendonly": "yes", "appendfsync": "always"}[setting]
    clinic.valkey.command(f"CONFIG SET {setting} {weak}")
    try:
        _, report = clinic.ask("--offline")
    finally:
        clinic.valkey.command(f"CONFIG SET {setting} {good}")
    (check,) = [each for each in report["checks"] if each["found"] == f"{setting}: {weak}"]
    assert (check["name"], check["state"]) == ("store", state)
    assert f"set {setting} {good}" in check["advice"]


def test_an_account_without_settings_is_reported(clinic: Clinic) -> None:
    """For an account that was removed from the settings, the doctor says what will be erased, and when."""
    store, gone = FlowStore(Client(clinic.valkey.url)), "AC" + "6" * 32
    store.put(replace(flow("https://example.com"), account_sid=gone))
    store.close()
    clinic.valkey.command(f"HSET {AccountKeys(gone).accounts} {gone} {20 * 86_400}")
    status, report = clinic.ask("--offline")
    assert status == 0
    assert found(report, "accounts") == (
        f"{gone} is not in these settings: its data is erased when routers have run without it for "
        "10 more days (flows: 1, messages: 0)"
    )


def test_flows_that_are_never_chosen_are_reported(clinic: Clinic) -> None:
    """A flow that no message reaches is reported with the reason and advice, and does not fail the check."""
    flows = FlowStore(Client(clinic.valkey.url))
    flows.put(replace(flow(f"{clinic.base}/healthz"), match="body == 'menu'", priority=1))
    flows.put(replace(flow(f"{clinic.base}/healthz"), sid="FO" + "2" * 32, match="body.resembles('menu')"))
    flows.put(replace(flow(f"{clinic.base}/healthz"), sid="FO" + "3" * 32, match="true", friendly_name="All"))
    _, report = clinic.ask("--offline")
    reasons = found(report, "flows")
    assert f"'Support' (FO{'1' * 32}) takes no message: 'All' (FO{'3' * 32}) takes them first" in reasons
    assert f"'Support' (FO{'2' * 32}) takes no message: its Match does not compile, column 6: no function" in reasons


WHATSAPP = "+15550000003"


def test_a_whatsapp_sender_that_points_here_is_good(clinic: Clinic) -> None:
    """A sender that points to its channel's path, or to that of all channels, is good; a missing flow is reported."""
    clinic.twilio.sender(WHATSAPP, f"{clinic.base}/webhooks/whatsapp", fallback_url=f"{clinic.base}/webhooks/whatsapp")
    clinic.twilio.sender("+15550000004", f"{clinic.base}/webhooks/message", fallback_url="https://example.com/fb")
    clinic.twilio.sender("+15550000005", "https://elsewhere.example.com/")
    status, report = clinic.ask()
    assert (status, bad(report)) == (0, [])
    first, *without_flow, last = found(report, "numbers").splitlines()
    assert (first, last) == (
        f"3 of 4 addresses of {ACCOUNT} point here",
        "1 point elsewhere, and have no flow",
    )
    assert (
        f"whatsapp:{WHATSAPP} points to this router, but no enabled flow takes its whatsapp messages" in without_flow[1]
    )


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://elsewhere.example.com/inbound", "its webhook is https://elsewhere.example.com/inbound"),
        ("{base}/webhooks/sms", "its webhook is {base}/webhooks/sms"),
        ("", "no webhook is set"),
    ],
    ids=["elsewhere", "the path of another channel", "nowhere"],
)
def test_a_whatsapp_sender_with_a_flow_that_points_elsewhere_is_found(clinic: Clinic, url: str, says: str) -> None:
    """A sender with a flow whose webhook is elsewhere is reported, with the URL to set at Twilio."""
    clinic.twilio.sender(WHATSAPP, url.format(base=clinic.base))
    address = f"whatsapp:{WHATSAPP}"
    sender_flow = replace(flow("http://127.0.0.1:9/", enabled=False), contact_identity=address, channel_type="whatsapp")
    FlowStore(Client(clinic.valkey.url)).put(sender_flow)
    status, report = clinic.ask()
    assert (status, bad(report)) == (1, ["numbers"])
    (check,) = [check for check in report["checks"] if check["state"] == "bad"]
    assert check["found"] == f"{address} has a flow, but {says.format(base=clinic.base)}"
    assert check["advice"].endswith(f"{clinic.base}/webhooks/whatsapp at Twilio")


def test_a_whatsapp_sender_without_a_fallback_is_reported(clinic: Clinic) -> None:
    """A sender without a fallback URL loses messages while the router is down: a warning, not a failure."""
    clinic.twilio.sender(WHATSAPP, f"{clinic.base}/webhooks/whatsapp")
    status, report = clinic.ask()
    assert status == 0
    assert f"no fallback URL: whatsapp:{WHATSAPP}" in found(report, "numbers")


def test_without_the_senders_api_the_numbers_are_checked(clinic: Clinic) -> None:
    """Where an account lacks this beta resource, the check is skipped with Twilio's reason; numbers are checked."""
    clinic.twilio.missing.add("/v2/Channels/Senders")
    status, report = clinic.ask()
    clinic.twilio.missing.clear()
    assert (status, bad(report)) == (0, [])
    assert "WhatsApp senders: Twilio's REST API answered 404" in found(report, "numbers")
    assert "1 of 1 addresses" in found(report, "numbers")


def test_the_tunnel_that_is_open_is_looked_at_too(clinic: Clinic, tmp_path: Path) -> None:
    """A request goes through the tunnel, and a number that points to it counts as pointing here."""
    base = f"http://localhost:{clinic.service.port}"
    clinic.twilio.numbers[0]["sms_url"] = f"{base}/webhooks/sms#rc=2"
    with TunnelRecord(tmp_path) as record:
        record.publish(base)
        report = clinic.ask(ROUTER_DATA_DIR=str(tmp_path))[1]
    wait_until(clinic.refusals().newest, what="the refusal is on record: the next test would find it")
    assert f"{base}: refused a signed request" in found(report, "public URL")  # for the router has another directory
    assert "1 of 1 addresses" in found(report, "numbers")


def test_a_service_without_an_inbound_url_is_found(clinic: Clinic) -> None:
    """A Messaging Service without an inbound URL receives nothing, whatever its numbers say."""
    clinic.twilio.service("MG" + "1" * 32, None, OURS, use_inbound_webhook_on_number=False)
    FlowStore(Client(clinic.valkey.url)).put(flow("http://127.0.0.1:9/", enabled=False))
    status, report = clinic.ask()
    assert (status, bad(report)) == (1, ["numbers"])
    assert f"no webhook is set (by Messaging Service MG{'1' * 32})" in found(report, "numbers")


def test_wrong_credentials_are_found(clinic: Clinic) -> None:
    """A token that Twilio does not accept is named by its place, never shown."""
    status, text = clinic.read(TWILIO_ACCOUNT_SID=ACCOUNT, TWILIO_AUTH_TOKEN="f" * 32)
    assert status == 1
    assert "auth_token[0] of" in text
    assert "f" * 32 not in text


def test_no_network_is_one_sentence(clinic: Clinic) -> None:
    """If Twilio cannot be reached, the doctor says so, and checks everything else."""
    status, report = clinic.ask(ROUTER_TWILIO_API_URL=f"http://127.0.0.1:{free_port()}")
    assert (status, bad(report)) == (1, ["Twilio"])
    assert "cannot be reached" in found(report, "Twilio")
    assert found(report, "messages")


def test_a_setting_that_does_not_parse_is_a_finding(clinic: Clinic) -> None:
    """The doctor reports an invalid setting instead of failing with it."""
    status, report = clinic.ask(ROUTER_WORKERS="many")
    assert (status, bad(report)) == (1, ["settings"])


def test_a_store_that_is_away_is_a_finding(clinic: Clinic) -> None:
    """If the store is away the doctor reports that, says nothing about its content, and still asks Twilio."""
    status, report = clinic.ask(ROUTER_REDIS_URL=f"redis://127.0.0.1:{free_port()}")
    assert (status, bad(report)) == (1, ["store"])
    assert "is accepted" in found(report, "Twilio")
    assert not found(report, "signatures")


def test_bad_answers_of_targets_are_reported(clinic: Clinic) -> None:
    """A target whose answers Twilio cannot use is worth a look; the finding names flow, reason and a message."""
    with Target() as target:
        target.script["/"] = answer(body=b'{"customer": "Zoe"}', content_type="application/json")
        flows = FlowStore(Client(clinic.valkey.url, call_seconds=5))
        flows.put(flow(target.url()))
        flows.close()
        fields = parameters(7, "+15550000002")
        assert clinic.send("/webhooks/sms", fields, f"{clinic.base}/webhooks/sms") == 200
        wait_until(lambda: "1 bad answer of" in found(clinic.ask("--offline")[1], "answers"), what="it is delivered")
        _, text = clinic.read("--offline")
    assert "1 bad answer of 'Support' (FO" in text
    assert "the last: not TwiML: it is application/json" in text
    assert f"router deliveries show {fields['MessageSid']}" in text
    assert "Zoe" not in text


def test_unrouted_messages_are_reported(clinic: Clinic) -> None:
    """Unrouted messages are worth a look, with the commands that help; they fail no check."""
    fields = parameters(6, "+15550000002")
    assert clinic.send("/webhooks/sms", fields, f"{clinic.base}/webhooks/sms") == 200
    status, report = clinic.ask("--offline")
    assert status == 0
    assert "1 unrouted" in found(report, "messages")


def test_an_echo_to_real_customers_is_a_fault(clinic: Clinic) -> None:
    """A real account's flow that sends customers back what they wrote is BAD, and named; disabled it is harmless."""
    flows = FlowStore(Client(clinic.valkey.url))
    echo = replace(flow(""), integration=Integration("handler", handler="echo"))
    flows.put(echo)
    status, report = clinic.ask("--offline")
    assert (status, bad(report)) == (1, ["flows"])
    assert "'Support' (FO" in found(report, "flows")
    assert "sends customers of a real account their own texts back, even STOP" in found(report, "flows")
    flows.put(replace(echo, enabled=False), replaces=echo)
    assert clinic.ask("--offline")[0] == 0
