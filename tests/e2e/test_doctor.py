"""`router doctor`: its findings about refused requests and about the set-up, as text and as JSON."""

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


class Doctor:
    """A router whose public URL is its own address, a Twilio account, and `router doctor` over them."""

    def __init__(self, folder: Path, valkey: ValkeyServer, twilio: TwilioRest) -> None:
        self.valkey = valkey
        self.twilio = twilio
        self.service = Service(folder, valkey.url, workers=1, public_url=OWN)
        self.base = f"http://127.0.0.1:{self.service.port}"
        self._config = str(folder / "router.toml")

    def run_json(self, *options: str, **environ: str) -> tuple[int, dict[str, Any]]:
        """Return the exit status and the doctor's JSON."""
        status, text = self.run_text("--json", *options, **environ)
        return status, json.loads(text)

    def run_text(self, *options: str, **environ: str) -> tuple[int, str]:
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
        """Open the records of refused requests."""
        return Refusals(Client(self.valkey.url), [ACCOUNT])

    def clear(self) -> None:
        """Empty the store."""
        self.valkey.command("FLUSHALL SYNC")


@pytest.fixture(scope="module")
def _doctor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doctor]:
    valkey = ValkeyServer()
    with TwilioRest(ACCOUNT, TOKEN) as twilio:
        doctor = Doctor(tmp_path_factory.mktemp("doctor"), valkey, twilio)
        yield doctor
        doctor.service.close()
    valkey.close()


@pytest.fixture
def doctor(_doctor: Doctor) -> Doctor:
    """A router and a Twilio account for which every check passes: one number, which points here."""
    _doctor.clear()
    _doctor.twilio.status = "active"
    _doctor.twilio.numbers.clear()
    _doctor.twilio.services.clear()
    _doctor.twilio.senders.clear()
    _doctor.twilio.number(OURS, f"{_doctor.base}/webhooks/sms")
    return _doctor


def bad(report: dict[str, Any]) -> list[str]:
    """Return the names of the checks that failed."""
    return [check["name"] for check in report["checks"] if check["state"] == "bad"]


def found(report: dict[str, Any], name: str) -> str:
    """Return the findings of the check with this name."""
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


def test_a_healthy_set_up_passes(doctor: Doctor) -> None:
    """If nothing is wrong, the exit status is 0, and every part has been checked, including the public URL."""
    status, report = doctor.run_json()

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
def test_a_refused_request_is_explained(doctor: Doctor, path: str, signed: str, cause: str) -> None:
    """A refused request that Twilio signed fails the check, with its cause and with what to change."""
    assert doctor.send(path, parameters(1, "+15550000002"), signed.format(port=doctor.service.port)) == 403
    wait_until(lambda: doctor.refusals().newest(), what="it is recorded")

    status, report = doctor.run_json("--offline")

    assert (status, bad(report)) == (1, ["signatures"])
    (refusal,) = report["refusals"]
    assert [finding["cause"] for finding in refusal["findings"]] == [cause]
    assert refusal["account_sid"] == ACCOUNT
    text = doctor.run_text("--offline")[1]
    assert f"{cause}: " in text
    assert "→ " in text


def test_the_report_of_a_refusal_has_no_content(doctor: Doctor) -> None:
    """The report, also as JSON, has no text, number, query, signature or token; addresses are masked."""
    fields = parameters(2, "+15551234567", Body="a secret text")
    signed = f"{doctor.base}/webhooks/sms?password=hidden"
    assert doctor.send("/webhooks/sms?password=zebra", fields, signed) == 403
    wait_until(lambda: doctor.refusals().newest(), what="it is recorded")

    output = doctor.run_text("--offline")[1]
    programs = json.dumps(doctor.run_json("--offline")[1]["refusals"]).replace(ACCOUNT, "")

    signature = RequestValidator(TOKEN).compute_signature(signed, fields)
    for hidden in ("a secret text", "5551234567", "hidden", "zebra", TOKEN, signature, signature[:10]):
        assert hidden not in output
        assert hidden not in programs
    assert "+15•••67" in output


def test_no_control_character_of_a_refusal_is_shown(doctor: Doctor) -> None:
    """A report has no control character of a stranger's text, with and without `--json`."""
    evil = "\x1b[2J\x9b31m\N{RIGHT-TO-LEFT OVERRIDE}"
    fields = parameters(3, f"+15551234567{evil}", AccountSid=f"AC{evil}", To=evil, **{evil: "1"})
    assert doctor.send(f"/webhooks/sms?{quote(evil)}=1", fields, "http://x/") == 403
    wait_until(lambda: doctor.refusals().newest(), what="it is recorded")
    for output in (doctor.run_text("--offline")[1], json.dumps(doctor.run_json("--offline")[1], ensure_ascii=False)):
        assert all(character.isprintable() or character == "\n" for character in output)


def test_a_flood_of_refusals_is_counted(doctor: Doctor) -> None:
    """Many refusals in a second leave few records, with counts; strangers' refusals do not hide those of Twilio."""
    strangers = parameters(3, "+15550000002", AccountSid="AC" + "9" * 32)
    for _ in range(20):
        assert doctor.send("/webhooks/sms", strangers, "http://x/") == 403
    ours = parameters(4, "+15550000002")
    assert doctor.send("/webhooks/sms", ours, f"https://127.0.0.1:{doctor.service.port}/webhooks/sms") == 403
    for _ in range(20):
        assert doctor.send("/webhooks/sms", strangers, "http://x/") == 403

    def counted() -> bool:
        kept = doctor.refusals().newest()
        return len(kept) + sum(each.others for each in kept) >= 41

    wait_until(counted, what="all are counted")
    reported = doctor.run_json("--offline", "--limit", "50")[1]["refusals"]
    assert len(reported) <= EACH
    assert [each["findings"][0]["cause"] for each in reported if each["matched"]] == ["scheme"]


def test_a_repaired_refusal_passes_the_check(doctor: Doctor) -> None:
    """Once a message to the same address is accepted, the check passes, and names the earlier cause and the repair."""
    fields = parameters(7, "+15550000002")
    assert doctor.send("/webhooks/sms", fields, f"https://127.0.0.1:{doctor.service.port}/webhooks/sms") == 403
    wait_until(lambda: doctor.refusals().newest(), what="it is recorded")
    good = f"{doctor.base}/webhooks/sms"
    another = parameters(8, "+15550000002", To="+15550000009")
    fallback = parameters(9, "+15550000002", ErrorCode="11200")
    for sent in (another, fallback):
        assert doctor.send("/webhooks/sms", sent, good) == 200
    assert bad(doctor.run_json("--offline")[1]) == ["signatures"]

    assert doctor.send("/webhooks/sms", parameters(10, "+15550000002"), good) == 200

    status, report = doctor.run_json("--offline")
    assert (status, bad(report)) == (0, [])
    assert "scheme. Repaired: a message was accepted now" in found(report, "signatures")
    (refusal,) = report["refusals"]
    assert refusal["over"] > refusal["at"]
    assert "Repaired: a later message was accepted" in doctor.run_text("--offline")[1]

    assert doctor.send("/webhooks/sms", fields, f"https://127.0.0.1:{doctor.service.port}/webhooks/sms") == 403
    wait_until(lambda: len(doctor.refusals().newest()) > 1, what="it is recorded")
    assert bad(doctor.run_json("--offline")[1]) == ["signatures"]


def test_a_path_prefix_is_diagnosed_like_a_signature(doctor: Doctor) -> None:
    """A request with a proxy's path prefix is a 404 in the log; the doctor says that the proxy must remove it."""
    path = "/router/webhooks/sms"
    assert doctor.send(path, parameters(11, "+15550000002"), doctor.base + path) == 404
    wait_until(lambda: doctor.refusals().newest(), what="it is recorded")

    status, report = doctor.run_json("--offline")

    assert (status, bad(report)) == (1, ["signatures"])
    (refusal,) = report["refusals"]
    assert [finding["cause"] for finding in refusal["findings"]] == ["path_prefix"]
    assert "let the proxy remove /router" in refusal["findings"][0]["advice"]
    assert '"reason":"no webhook at this path"' in doctor.service.log.read_text()


def test_strangers_do_not_fail_the_check(doctor: Doctor) -> None:
    """A request that none of our keys signed is reported, but exits with 0, because any stranger can send one."""
    assert doctor.send("/webhooks/sms", parameters(5, "+15550000002"), doctor.base, token="0" * 32) == 403
    wait_until(lambda: doctor.refusals().newest(), what="it is recorded")
    status, report = doctor.run_json("--offline")
    assert (status, bad(report)) == (0, [])
    assert [finding["cause"] for finding in report["refusals"][0]["findings"]] == ["unknown_key"]
    assert [each["state"] for each in report["checks"] if each["name"] == "signatures"] == ["look"]
    assert doctor.send("/webhooks/sms", parameters(6, "+15550000002"), f"{doctor.base}/webhooks/sms") == 200
    (check,) = [each for each in doctor.run_json("--offline")[1]["checks"] if each["name"] == "signatures"]
    assert check["state"] == "good", "as after a new auth token was put into the settings"
    assert "none of our keys signed" in check["found"]


def test_a_missing_public_url_is_found(doctor: Doctor, tmp_path: Path) -> None:
    """Without a public URL the doctor says that webhooks are refused, and which host, and why a URL is safer."""
    service = Service(tmp_path, doctor.valkey.url, workers=1, public_url="")
    try:
        fields = parameters(6, "+15550000002")
        signature = RequestValidator(TOKEN).compute_signature("http://target.example/webhooks/sms", fields)
        headers = {"Content-Type": FORM, "X-Twilio-Signature": signature, "Host": "target.example"}
        assert service.request("POST", "/webhooks/sms", urlencode(fields).encode(), headers)[0] == 403
        wait_until(lambda: doctor.refusals().newest(), what="it is recorded")
        environ = {"ROUTER_CONFIG": str(tmp_path / "router.toml"), "ROUTER_PUBLIC_URL": ""}

        status, report = doctor.run_json("--offline", **environ)

        assert (status, bad(report)) == (1, ["settings", "signatures"])
        assert "the router answers every webhook of Twilio 403" in found(report, "settings")
        assert "the host 'target.example' is not trusted" in report["refusals"][0]["reason"]
        assert [finding["cause"] for finding in report["refusals"][0]["findings"]] == ["host"]
        _, report = doctor.run_json("--offline", ROUTER_TRUSTED_PROXIES="10.0.0.1", **environ)
        (check,) = [each for each in report["checks"] if each["found"].startswith("no ROUTER_PUBLIC_URL")]
        assert check["state"] == "look"
        assert "a target can replay the router's requests as Twilio's" in check["advice"]
    finally:
        service.close()


def test_a_public_url_that_changes_the_signature_is_found(doctor: Doctor) -> None:
    """A public URL other than the router's is reached and refused; the second `router doctor` names the cause."""
    with_name = f"http://localhost:{doctor.service.port}"
    status, report = doctor.run_json(ROUTER_PUBLIC_URL=with_name)
    assert status == 1
    assert "public URL" in bad(report)
    assert "refused a signed request" in found(report, "public URL")
    wait_until(lambda: doctor.refusals().newest(), what="it is recorded")
    causes = [finding["cause"] for finding in doctor.run_json("--offline")[1]["refusals"][0]["findings"]]
    assert causes == ["host"]


@pytest.mark.parametrize("up", [True, False], ids=["another server", "no server"])
def test_a_dead_public_url_is_found(doctor: Doctor, *, up: bool) -> None:
    """A public URL is reported if no server answers there, or another one than the router."""
    with Target() as target:
        target.script["/webhooks/message"] = _page
        base = target.url("").rstrip("/") if up else f"http://127.0.0.1:{free_port()}"
        status, report = doctor.run_json(ROUTER_PUBLIC_URL=base)
    assert status == 1
    assert "public URL" in bad(report)


def _page(caller: Any) -> bool:
    return bool(caller.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nHello")) and False


def _with_flow(doctor: Doctor) -> None:
    FlowStore(Client(doctor.valkey.url)).put(flow("http://127.0.0.1:9/"))


def _number_elsewhere(doctor: Doctor) -> None:
    doctor.twilio.numbers[0]["sms_url"] = "https://demo.twilio.com/welcome/sms/reply"
    FlowStore(Client(doctor.valkey.url)).put(flow("http://127.0.0.1:9/", enabled=False))


def _service_elsewhere(doctor: Doctor) -> None:
    doctor.twilio.service("MG" + "1" * 32, "https://elsewhere.example.com/", OURS)
    FlowStore(Client(doctor.valkey.url)).put(flow("http://127.0.0.1:9/", enabled=False))


def _application_elsewhere(doctor: Doctor) -> None:
    doctor.twilio.numbers[0]["sms_application_sid"] = "AP" + "1" * 32
    doctor.twilio.applications["AP" + "1" * 32] = {"sms_url": "https://elsewhere.example.com/"}
    FlowStore(Client(doctor.valkey.url)).put(flow("http://127.0.0.1:9/", enabled=False))


def _suspended(doctor: Doctor) -> None:
    doctor.twilio.status = "suspended"


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
def test_each_fault_is_found(doctor: Doctor, harm: Callable[[Doctor], None], name: str, says: str) -> None:
    """Each fault is reported with what to do, and the exit status is 1."""
    harm(doctor)
    status, report = doctor.run_json()
    assert (status, bad(report)) == (1, [name])
    (check,) = [check for check in report["checks"] if check["state"] == "bad"]
    assert says in check["found"]
    assert check["advice"]


@pytest.mark.parametrize(
    ("setting", "weak", "state"), [("appendonly", "no", "bad"), ("appendfsync", "everysec", "look")]
)
def test_a_store_that_may_lose_messages_is_found(doctor: Doctor, setting: str, weak: str, state: str) -> None:
    """A store without an append-only file is a fault; one that may lose a second is a warning ("look")."""
    good = {"appendonly": "yes", "appendfsync": "always"}[setting]
    doctor.valkey.command(f"CONFIG SET {setting} {weak}")
    try:
        _, report = doctor.run_json("--offline")
    finally:
        doctor.valkey.command(f"CONFIG SET {setting} {good}")
    (check,) = [each for each in report["checks"] if each["found"] == f"{setting}: {weak}"]
    assert (check["name"], check["state"]) == ("store", state)
    assert f"set {setting} {good}" in check["advice"]


def test_an_account_without_settings_is_reported(doctor: Doctor) -> None:
    """The doctor reports an account that was removed from the settings, and what of it will be erased when."""
    store, gone = FlowStore(Client(doctor.valkey.url)), "AC" + "6" * 32
    store.put(replace(flow("https://example.com"), account_sid=gone))
    store.close()
    doctor.valkey.command(f"HSET {AccountKeys(gone).accounts} {gone} {20 * 86_400}")
    status, report = doctor.run_json("--offline")
    assert status == 0
    assert found(report, "accounts") == (
        f"{gone} is not in these settings: its data is erased when routers have run without it for "
        "10 more days (flows: 1, messages: 0)"
    )


def test_flows_that_are_never_chosen_are_reported(doctor: Doctor) -> None:
    """A flow that can get no message is reported with the reason."""
    flows = FlowStore(Client(doctor.valkey.url))
    flows.put(replace(flow(f"{doctor.base}/healthz"), match="body == 'menu'", priority=1))
    flows.put(replace(flow(f"{doctor.base}/healthz"), sid="FO" + "2" * 32, match="body.resembles('menu')"))
    flows.put(replace(flow(f"{doctor.base}/healthz"), sid="FO" + "3" * 32, match="true", friendly_name="All"))
    _, report = doctor.run_json("--offline")
    reasons = found(report, "flows")
    assert f"'Support' (FO{'1' * 32}) takes no message: 'All' (FO{'3' * 32}) takes them first" in reasons
    assert f"'Support' (FO{'2' * 32}) takes no message: its Match does not compile, column 6: no function" in reasons


WHATSAPP = "+15550000003"


def test_a_whatsapp_sender_that_points_here_passes(doctor: Doctor) -> None:
    """A sender that points to its channel's path, or to that of all channels, passes; a missing flow is reported."""
    doctor.twilio.sender(WHATSAPP, f"{doctor.base}/webhooks/whatsapp", fallback_url=f"{doctor.base}/webhooks/whatsapp")
    doctor.twilio.sender("+15550000004", f"{doctor.base}/webhooks/message", fallback_url="https://example.com/fb")
    doctor.twilio.sender("+15550000005", "https://elsewhere.example.com/")
    status, report = doctor.run_json()
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
def test_a_whatsapp_sender_with_a_flow_that_points_elsewhere_is_found(doctor: Doctor, url: str, says: str) -> None:
    """A sender that has a flow, but whose webhook is elsewhere, is reported, with the URL to set at Twilio."""
    doctor.twilio.sender(WHATSAPP, url.format(base=doctor.base))
    address = f"whatsapp:{WHATSAPP}"
    sender_flow = replace(flow("http://127.0.0.1:9/", enabled=False), contact_identity=address, channel_type="whatsapp")
    FlowStore(Client(doctor.valkey.url)).put(sender_flow)
    status, report = doctor.run_json()
    assert (status, bad(report)) == (1, ["numbers"])
    (check,) = [check for check in report["checks"] if check["state"] == "bad"]
    assert check["found"] == f"{address} has a flow, but {says.format(base=doctor.base)}"
    assert check["advice"].endswith(f"{doctor.base}/webhooks/whatsapp at Twilio")


def test_a_whatsapp_sender_without_a_fallback_is_reported(doctor: Doctor) -> None:
    """A sender without a fallback URL loses messages while the router is down: a warning, not a failure."""
    doctor.twilio.sender(WHATSAPP, f"{doctor.base}/webhooks/whatsapp")
    status, report = doctor.run_json()
    assert status == 0
    assert f"no fallback URL: whatsapp:{WHATSAPP}" in found(report, "numbers")


def test_without_the_senders_api_the_numbers_are_checked(doctor: Doctor) -> None:
    """Where an account lacks this beta resource, the check is skipped with Twilio's reason; numbers are checked."""
    doctor.twilio.missing.add("/v2/Channels/Senders")
    status, report = doctor.run_json()
    doctor.twilio.missing.clear()
    assert (status, bad(report)) == (0, [])
    assert "WhatsApp senders: Twilio's REST API answered 404" in found(report, "numbers")
    assert "1 of 1 addresses" in found(report, "numbers")


def test_an_open_tunnel_is_checked(doctor: Doctor, tmp_path: Path) -> None:
    """The doctor sends a request through the open tunnel, and a number that points to it counts as pointing here."""
    base = f"http://localhost:{doctor.service.port}"
    doctor.twilio.numbers[0]["sms_url"] = f"{base}/webhooks/sms#rc=2"
    with TunnelRecord(tmp_path) as record:
        record.publish(base)
        report = doctor.run_json(ROUTER_DATA_DIR=str(tmp_path))[1]
    wait_until(doctor.refusals().newest, what="the refusal is on record: the next test would find it")
    assert f"{base}: refused a signed request" in found(report, "public URL")  # as the router has another directory
    assert "1 of 1 addresses" in found(report, "numbers")


def test_a_service_without_an_inbound_url_is_found(doctor: Doctor) -> None:
    """A Messaging Service without an inbound URL receives nothing, whatever its numbers say."""
    doctor.twilio.service("MG" + "1" * 32, None, OURS, use_inbound_webhook_on_number=False)
    FlowStore(Client(doctor.valkey.url)).put(flow("http://127.0.0.1:9/", enabled=False))
    status, report = doctor.run_json()
    assert (status, bad(report)) == (1, ["numbers"])
    assert f"no webhook is set (by Messaging Service MG{'1' * 32})" in found(report, "numbers")


def test_wrong_credentials_are_found(doctor: Doctor) -> None:
    """A token that Twilio does not accept is named by its place, never shown."""
    status, text = doctor.run_text(TWILIO_ACCOUNT_SID=ACCOUNT, TWILIO_AUTH_TOKEN="f" * 32)
    assert status == 1
    assert "auth_token[0] of" in text
    assert "f" * 32 not in text


def test_an_unreachable_twilio_is_reported(doctor: Doctor) -> None:
    """If Twilio cannot be reached, the doctor reports that, and checks everything else."""
    status, report = doctor.run_json(ROUTER_TWILIO_API_URL=f"http://127.0.0.1:{free_port()}")
    assert (status, bad(report)) == (1, ["Twilio"])
    assert "cannot be reached" in found(report, "Twilio")
    assert found(report, "messages")


def test_an_invalid_setting_is_reported(doctor: Doctor) -> None:
    """The doctor reports an invalid setting instead of failing with it."""
    status, report = doctor.run_json(ROUTER_WORKERS="many")
    assert (status, bad(report)) == (1, ["settings"])


def test_an_unreachable_store_is_reported(doctor: Doctor) -> None:
    """If the store cannot be reached, the doctor reports that, skips checks of its content, and still asks Twilio."""
    status, report = doctor.run_json(ROUTER_REDIS_URL=f"redis://127.0.0.1:{free_port()}")
    assert (status, bad(report)) == (1, ["store"])
    assert "is accepted" in found(report, "Twilio")
    assert not found(report, "signatures")


def test_bad_answers_of_targets_are_reported(doctor: Doctor) -> None:
    """A target's answers that are not TwiML are counted; the finding names flow, reason and a message, not its text."""
    with Target() as target:
        target.script["/"] = answer(body=b'{"customer": "Zoe"}', content_type="application/json")
        flows = FlowStore(Client(doctor.valkey.url, call_seconds=5))
        flows.put(flow(target.url()))
        flows.close()
        fields = parameters(7, "+15550000002")
        assert doctor.send("/webhooks/sms", fields, f"{doctor.base}/webhooks/sms") == 200
        wait_until(
            lambda: "1 bad answer of" in found(doctor.run_json("--offline")[1], "answers"), what="it is delivered"
        )
        _, text = doctor.run_text("--offline")
    assert "1 bad answer of 'Support' (FO" in text
    assert "the last: not TwiML: it is application/json" in text
    assert f"router deliveries show {fields['MessageSid']}" in text
    assert "Zoe" not in text


def test_unrouted_messages_are_reported(doctor: Doctor) -> None:
    """Unrouted messages are counted, with the command that sends them to the current flows, and fail no check."""
    fields = parameters(6, "+15550000002")
    assert doctor.send("/webhooks/sms", fields, f"{doctor.base}/webhooks/sms") == 200
    status, report = doctor.run_json("--offline")
    assert status == 0
    assert "1 unrouted" in found(report, "messages")
    _, text = doctor.run_text("--offline")
    assert "`router deliveries replay --status unrouted --since 7d --route current`" in text


def test_an_echo_flow_of_a_real_account_is_a_fault(doctor: Doctor) -> None:
    """A flow of a real account that echoes customers' texts fails the check, by name, unless it is disabled."""
    flows = FlowStore(Client(doctor.valkey.url))
    echo = replace(flow(""), integration=Integration("handler", handler="echo"))
    flows.put(echo)
    status, report = doctor.run_json("--offline")
    assert (status, bad(report)) == (1, ["flows"])
    assert "'Support' (FO" in found(report, "flows")
    assert "sends customers of a real account their own texts back, even STOP" in found(report, "flows")
    flows.put(replace(echo, enabled=False), replaces=echo)
    assert doctor.run_json("--offline")[0] == 0
