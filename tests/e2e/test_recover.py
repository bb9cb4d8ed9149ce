"""`router recover`: messages that reached Twilio and not the router are delivered in order, once, and unanswered."""

import json
import os
import pty
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import pytest
from click.testing import CliRunner, Result

from router.cli import main
from router.flow.flex_flow import FlexFlow, Integration
from router.message.raw import Raw
from router.store.client import Client
from router.store.deliveries import DeliveryLog
from router.store.flows import FlowStore
from tests.e2e.running import ROUTER, clean_environ
from tests.e2e.service import ACCOUNT, OURS, TOKEN, Service, parameters, sid
from tests.e2e.twilio_rest import TwilioRest
from tests.integrations.target import Target
from tests.ports import free_port
from tests.valkey import ValkeyServer
from tests.waiting import wait_until

THEIRS = "+15550000002"


class Outage:
    """A router over a store, a target that answers with words, and a Twilio that received messages."""

    def __init__(self, service: Service, twilio: TwilioRest, target: Target, url: str) -> None:
        self.service = service
        self.twilio = twilio
        self.target = target
        self.url = url
        self._base = {"ROUTER_CONFIG": str(service.folder / "router.toml"), "ROUTER_TWILIO_API_URL": twilio.url}

    def recover(self, *options: str, **environ: str) -> Result:
        """Run the command."""
        return CliRunner().invoke(main, ["recover", *options], env=self._base | environ, catch_exceptions=False)

    def answer(self, answer: str) -> int:
        """Run the command at a terminal, and answer its question; return the exit status."""
        screen, terminal = pty.openpty()
        command = [str(ROUTER), "recover", "--since", "2h"]
        process = subprocess.Popen(
            command, env=clean_environ(**self._base), stdin=terminal, stdout=terminal, stderr=terminal, process_group=0
        )
        os.close(terminal)
        shown = b""
        while b"Accept 1 message?" not in shown:
            shown += os.read(screen, 4096)
        os.write(screen, f"{answer}\n".encode())
        with suppress(OSError):  # the end of the terminal
            while os.read(screen, 4096):
                pass
        os.close(screen)
        return process.wait(60)

    def results(self, *options: str) -> list[tuple[str, str]]:
        """Run the command with --json; return the SIDs with their results."""
        ended = self.recover("--json", *options)
        assert ended.exit_code == 0, ended.output
        return [(each["sid"], each["result"]) for each in json.loads(ended.output)]

    def flow(self, **more: Any) -> FlexFlow:
        """Make a flow for our number."""
        flow = FlexFlow(
            sid="FO" + "1" * 32,
            account_sid=ACCOUNT,
            friendly_name="Support",
            chat_service_sid="IS" + "1" * 32,
            channel_type="sms",
            contact_identity=OURS,
            integration=Integration("external", url=self.target.url("/hook")),
            **more,
        )
        FlowStore(Client(self.url)).put(flow)
        return flow

    def delivery(self, number: int) -> dict[str, Any]:
        """Wait until a message is done, and return its record."""
        path = f"/v1/Deliveries/{sid(number)}"

        def ended() -> bool:
            return self.service.get(path)[0] == 200 and self.service.json(path)["status"] not in {"queued", "sending"}

        wait_until(ended, what=f"message {number} is done")
        return dict(self.service.json(path))

    def arrived(self) -> list[str]:
        """Return the SIDs that the target received."""
        return [dict(parse_qsl(request.body.decode()))["MessageSid"] for request in self.target.requests]


@pytest.fixture(scope="module")
def _outage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outage]:
    valkey = ValkeyServer()
    with TwilioRest(ACCOUNT, TOKEN) as twilio, Target() as target:
        service = Service(tmp_path_factory.mktemp("outage"), valkey.url, workers=1)
        yield Outage(service, twilio, target, valkey.url)
        service.close()
    valkey.close()


@pytest.fixture
def outage(_outage: Outage) -> Outage:
    """An outage that begins anew."""
    Client(_outage.url).call("FLUSHALL")
    _outage.twilio.messages.clear()
    _outage.twilio.media.clear()
    _outage.target.requests.clear()
    return _outage


def ago(**past: float) -> datetime:
    """Return a moment in the past, in whole seconds as Twilio has them."""
    return (datetime.now(UTC) - timedelta(**past)).replace(microsecond=0)


def test_what_is_missing_comes_in_order(outage: Outage) -> None:
    """Messages of one conversation, also those of one second, arrive in the order in which Twilio received them."""
    outage.flow()
    moments = [ago(minutes=30), ago(minutes=20), ago(minutes=20), ago(minutes=20), ago(minutes=10)]
    for number, moment in enumerate(moments, 1):
        outage.twilio.message(sid(number), moment)

    assert outage.results("--since", "2h", "--yes") == [(sid(number), "accepted") for number in range(1, 6)]

    assert outage.delivery(5)["status"] == "delivered"
    assert outage.arrived() == [sid(number) for number in range(1, 6)]


def test_lone_surrogates_do_not_stop_a_recovery(outage: Outage) -> None:
    """A text that was cut within an emoji is accepted without the half character, and so are later messages."""
    outage.flow()
    outage.twilio.message(sid(1), ago(minutes=2), body="Hi \ud83d")
    outage.twilio.message(sid(2), ago(minutes=1))

    assert outage.results("--since", "2h", "--yes") == [(sid(1), "accepted"), (sid(2), "accepted")]

    assert outage.delivery(2)["status"] == "delivered"
    assert dict(parse_qsl(outage.target.requests[0].body.decode()))["Body"] == "Hi ?"


def test_only_what_is_missing_comes(outage: Outage) -> None:
    """Messages that the router has, sent ones, older ones, and those that are still on their way are not recovered."""
    outage.flow()
    assert outage.service.webhook(parameters(1, THEIRS))[0] == 200
    outage.delivery(1)
    outage.twilio.message(sid(1), ago(minutes=30))
    outage.twilio.message(sid(2), ago(minutes=29))
    outage.twilio.message(sid(3), ago(minutes=28), direction="outbound-api", status="delivered")
    outage.twilio.message(sid(4), ago(hours=3))
    outage.twilio.message(sid(5), ago(seconds=10))

    assert outage.results("--since", "2h", "--yes") == [(sid(2), "accepted")]


def test_a_message_is_recovered_once(outage: Outage) -> None:
    """A recovered message is delivered once: a second recovery finds nothing, and a late webhook is a duplicate."""
    outage.flow()
    outage.twilio.message(sid(1), ago(minutes=30))
    assert outage.results("--since", "2h", "--yes") == [(sid(1), "accepted")]
    outage.delivery(1)

    assert outage.results("--since", "2h", "--yes") == []
    assert "Nothing is missing" in outage.recover("--since", "2h").output
    assert outage.service.webhook(parameters(1, THEIRS))[0] == 200
    assert outage.delivery(1)["duplicates"] == 1
    assert outage.arrived() == [sid(1)]


def test_a_recovered_message_is_marked_and_never_answered(outage: Outage) -> None:
    """The target's answer is not sent, not even to a late webhook; the record has the reason."""
    outage.target.script["/hook"] = _talk
    outage.flow(response="relay")
    outage.twilio.message(sid(1), ago(minutes=30))
    outage.results("--since", "2h", "--yes")

    delivery = outage.delivery(1)

    assert (delivery["recovered"], delivery["answered_by"]) == (True, "nobody")
    assert delivery["route"][0] == "recovered from Twilio"
    status, _, body = outage.service.webhook(parameters(1, THEIRS))
    assert (status, b"Message" in body) == (200, False)


def _talk(caller: Any) -> bool:
    twiml = b"<Response><Message>Hello</Message></Response>"
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {len(twiml)}\r\n\r\n"
    return bool(caller.send(head.encode() + twiml))


def test_a_flow_that_redirects_is_delivered_to(outage: Outage) -> None:
    """A recovered message of a `redirect` flow is delivered to the target, because no webhook can be redirected."""
    outage.flow(response="redirect")
    outage.twilio.message(sid(1), ago(minutes=30))
    outage.results("--since", "2h", "--yes")
    assert outage.delivery(1)["status"] == "delivered"
    assert outage.arrived() == [sid(1)]


def test_a_conversation_that_began_meanwhile_stays_with_its_flow(outage: Outage) -> None:
    """Recovered messages that no rule matches stay with the flow of the message before them; one step says so."""
    rule = outage.flow(match='body.contains("refund")')
    for number, body in enumerate(("A refund, please", "ok", "thanks"), 1):
        outage.twilio.message(sid(number), ago(minutes=30 - number), body=body)

    assert len(outage.results("--since", "2h", "--yes")) == 3

    for number in (2, 3):
        delivery = outage.delivery(number)
        assert (delivery["status"], delivery["flex_flow_sid"]) == ("delivered", rule.sid)
        assert sum("The conversation stays" in step for step in delivery["route"]) == 1
    outage.twilio.message(sid(4), ago(minutes=5), body="and now?")
    assert len(outage.results("--since", "2h", "--yes")) == 1
    assert sum("The conversation stays" in step for step in outage.delivery(4)["route"]) == 1
    assert outage.arrived() == [sid(number) for number in range(1, 5)]


def test_the_form_is_that_of_a_webhook(outage: Outage) -> None:
    """The form has the values of the REST resource under the webhook's names, attachments included."""
    outage.flow()
    media = "ME" + "7" * 32
    outage.twilio.message(
        sid(1), ago(minutes=30), body="a & b é\n", num_media="1", messaging_service_sid="MG" + "1" * 32
    )
    outage.twilio.attach(sid(1), media, "image/jpeg")
    outage.results("--since", "2h", "--yes")
    outage.delivery(1)

    found = DeliveryLog(Client(outage.url)).get(ACCOUNT, sid(1))

    assert found is not None
    assert dict(Raw.unpack(found.raw).fields()) == {
        "SmsMessageSid": sid(1),
        "NumMedia": "1",
        "SmsSid": sid(1),
        "SmsStatus": "received",
        "Body": "a & b é\n",
        "To": OURS,
        "MessagingServiceSid": "MG" + "1" * 32,
        "NumSegments": "1",
        "MessageSid": sid(1),
        "AccountSid": ACCOUNT,
        "From": THEIRS,
        "ApiVersion": "2010-04-01",
        "MediaContentType0": "image/jpeg",
        "MediaUrl0": f"https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Messages/{sid(1)}/Media/{media}",
    }


def test_a_dry_run_only_shows(outage: Outage) -> None:
    """`--dry-run` shows text, addresses and flow of each message, and accepts none."""
    outage.flow()
    outage.twilio.message(sid(1), ago(minutes=30), body="Where is my order?")
    ended = outage.recover("--since", "2h", "--dry-run")
    assert ended.exit_code == 0
    for shown in (sid(1), "Where is my order?", THEIRS, "Support", "1 missing"):
        assert shown in ended.output
    assert outage.service.get(f"/v1/Deliveries/{sid(1)}")[0] == 404


def test_other_numbers_are_left_out(outage: Outage) -> None:
    """What no flow takes may be another system's: it is left out, and kept as unrouted when --to names its address."""
    outage.twilio.message(sid(1), ago(minutes=30))
    outage.twilio.message(sid(2), ago(minutes=30), to="+15550000009")
    assert outage.results("--since", "2h", "--yes") == []
    assert "No flow takes 2 of them" in outage.recover("--since", "2h", "--dry-run").output
    assert outage.results("--since", "2h", "--yes", "--to", OURS) == [(sid(1), "accepted")]
    assert outage.delivery(1)["status"] == "unrouted"


@pytest.mark.parametrize(
    ("options", "environ", "status", "says"),
    [
        pytest.param(["--since", "3d"], {}, 2, "24 hours", id="further back than is remembered"),
        pytest.param(["--since", "2h"], {}, 1, "--yes", id="no terminal to ask at"),
        pytest.param(["--since", "2h", "--json"], {}, 2, "--yes or --dry-run", id="a program without --yes"),
        pytest.param([], {}, 2, "--since", id="no --since"),
        pytest.param(
            ["--since", "2h"],
            {"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": "f" * 32},
            1,
            "refuses the credentials",
            id="wrong credentials",
        ),
        pytest.param(
            ["--since", "2h"],
            {"ROUTER_TWILIO_API_URL": f"http://127.0.0.1:{free_port()}"},
            1,
            "cannot be reached",
            id="no network",
        ),
    ],
)
def test_what_is_wrong_is_one_sentence(
    outage: Outage, options: list[str], environ: dict[str, str], status: int, says: str
) -> None:
    """An error names its cause, the exit status is not 0, and no message is accepted."""
    outage.flow()
    outage.twilio.message(sid(1), ago(minutes=30))
    ended = outage.recover(*options, **environ)
    assert ended.exit_code == status
    assert says in " ".join(ended.output.split())
    assert outage.service.get(f"/v1/Deliveries/{sid(1)}")[0] == 404


def test_an_attachment_that_does_not_come_fails_alone(outage: Outage) -> None:
    """A message whose media Twilio does not list is reported and stays missing; the others are accepted."""
    outage.flow()
    outage.twilio.message(sid(1), ago(minutes=30), num_media="1")
    outage.twilio.message(sid(2), ago(minutes=29))
    ended = outage.recover("--since", "2h", "--yes", "--json")
    assert ended.exit_code == 1
    results = {each["sid"]: each["result"] for each in json.loads(ended.output)}
    assert results[sid(1)].startswith("failed: Twilio's REST API answered 404")
    assert results[sid(2)] == "accepted"


def test_recover_asks_before_it_accepts(outage: Outage) -> None:
    """At a terminal the command asks first, and accepts nothing after a no; without a terminal it needs --yes."""
    outage.flow()
    outage.twilio.message(sid(1), ago(minutes=30))
    refused = outage.recover("--since", "2h")
    assert (refused.exit_code, "nothing was accepted: the command cannot ask" in refused.output) == (1, True)
    assert outage.answer("n") == 1
    assert outage.service.get(f"/v1/Deliveries/{sid(1)}")[0] == 404
    assert outage.answer("y") == 0
    assert outage.service.get(f"/v1/Deliveries/{sid(1)}")[0] == 200
