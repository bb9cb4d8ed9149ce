"""`router recover`: messages that the router missed are fetched from Twilio, and delivered in order and once."""

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


class Recovery:
    """A router, its target, and a Twilio account with messages that the router may have missed."""

    def __init__(self, service: Service, twilio: TwilioRest, target: Target, url: str) -> None:
        self.service = service
        self.twilio = twilio
        self.target = target
        self.url = url
        self._base = {"ROUTER_CONFIG": str(service.folder / "router.toml"), "ROUTER_TWILIO_API_URL": twilio.url}

    def run(self, *options: str, **environ: str) -> Result:
        """Run `router recover`."""
        return CliRunner().invoke(main, ["recover", *options], env=self._base | environ, catch_exceptions=False)

    def run_and_answer(self, answer: str) -> int:
        """Run `router recover` at a terminal, and answer its question; return the exit status."""
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
        """Run `router recover --json`; return the SIDs with their results."""
        ended = self.run("--json", *options)
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
def _recovery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recovery]:
    valkey = ValkeyServer()
    with TwilioRest(ACCOUNT, TOKEN) as twilio, Target() as target:
        service = Service(tmp_path_factory.mktemp("recovery"), valkey.url, workers=1)
        yield Recovery(service, twilio, target, valkey.url)
        service.close()
    valkey.close()


@pytest.fixture
def recovery(_recovery: Recovery) -> Recovery:
    """The setup with an empty store, and without messages at Twilio."""
    Client(_recovery.url).call("FLUSHALL")
    _recovery.twilio.messages.clear()
    _recovery.twilio.media.clear()
    _recovery.target.requests.clear()
    return _recovery


def ago(**past: float) -> datetime:
    """Return a moment in the past, in whole seconds as Twilio has them."""
    return (datetime.now(UTC) - timedelta(**past)).replace(microsecond=0)


def test_missing_messages_arrive_in_order(recovery: Recovery) -> None:
    """Messages of one conversation, also those of one second, arrive in the order in which Twilio received them."""
    recovery.flow()
    moments = [ago(minutes=30), ago(minutes=20), ago(minutes=20), ago(minutes=20), ago(minutes=10)]
    for number, moment in enumerate(moments, 1):
        recovery.twilio.message(sid(number), moment)

    assert recovery.results("--since", "2h", "--yes") == [(sid(number), "accepted") for number in range(1, 6)]

    assert recovery.delivery(5)["status"] == "delivered"
    assert recovery.arrived() == [sid(number) for number in range(1, 6)]


def test_lone_surrogates_do_not_stop_a_recovery(recovery: Recovery) -> None:
    """A text that was cut within an emoji is accepted with `?` for the half character, and so are later messages."""
    recovery.flow()
    recovery.twilio.message(sid(1), ago(minutes=2), body="Hi \ud83d")
    recovery.twilio.message(sid(2), ago(minutes=1))

    assert recovery.results("--since", "2h", "--yes") == [(sid(1), "accepted"), (sid(2), "accepted")]

    assert recovery.delivery(2)["status"] == "delivered"
    assert dict(parse_qsl(recovery.target.requests[0].body.decode()))["Body"] == "Hi ?"


def test_only_missing_messages_are_recovered(recovery: Recovery) -> None:
    """Messages that the router has, outbound ones, ones before `--since` and ones of the last seconds are left out."""
    recovery.flow()
    assert recovery.service.webhook(parameters(1, THEIRS))[0] == 200
    recovery.delivery(1)
    recovery.twilio.message(sid(1), ago(minutes=30))
    recovery.twilio.message(sid(2), ago(minutes=29))
    recovery.twilio.message(sid(3), ago(minutes=28), direction="outbound-api", status="delivered")
    recovery.twilio.message(sid(4), ago(hours=3))
    recovery.twilio.message(sid(5), ago(seconds=10))

    assert recovery.results("--since", "2h", "--yes") == [(sid(2), "accepted")]


def test_a_message_is_recovered_once(recovery: Recovery) -> None:
    """A recovered message is delivered once: a second recovery finds nothing, and a late webhook is a duplicate."""
    recovery.flow()
    recovery.twilio.message(sid(1), ago(minutes=30))
    assert recovery.results("--since", "2h", "--yes") == [(sid(1), "accepted")]
    recovery.delivery(1)

    assert recovery.results("--since", "2h", "--yes") == []
    assert "Nothing is missing" in recovery.run("--since", "2h").output
    assert recovery.service.webhook(parameters(1, THEIRS))[0] == 200
    assert recovery.delivery(1)["duplicates"] == 1
    assert recovery.arrived() == [sid(1)]


def test_a_recovered_message_is_marked_and_never_answered(recovery: Recovery) -> None:
    """A recovered message is marked in its record; the target's answer is not sent, not even to a late webhook."""
    recovery.target.script["/hook"] = _talk
    recovery.flow(response="relay")
    recovery.twilio.message(sid(1), ago(minutes=30))
    recovery.results("--since", "2h", "--yes")

    delivery = recovery.delivery(1)

    assert (delivery["recovered"], delivery["answered_by"]) == (True, "nobody")
    assert delivery["route"][0] == "recovered from Twilio"
    status, _, body = recovery.service.webhook(parameters(1, THEIRS))
    assert (status, b"Message" in body) == (200, False)


def _talk(caller: Any) -> bool:
    twiml = b"<Response><Message>Hello</Message></Response>"
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {len(twiml)}\r\n\r\n"
    return bool(caller.send(head.encode() + twiml))


def test_a_recovered_message_of_a_redirect_flow_is_delivered(recovery: Recovery) -> None:
    """A recovered message of a `redirect` flow is delivered to the target, because there is no webhook to redirect."""
    recovery.flow(response="redirect")
    recovery.twilio.message(sid(1), ago(minutes=30))
    recovery.results("--since", "2h", "--yes")
    assert recovery.delivery(1)["status"] == "delivered"
    assert recovery.arrived() == [sid(1)]


def test_recovered_messages_stay_with_their_conversations_flow(recovery: Recovery) -> None:
    """Recovered messages that no flow matches go to the flow of the message before them, and one step says so."""
    rule = recovery.flow(match='body.contains("refund")')
    for number, body in enumerate(("A refund, please", "ok", "thanks"), 1):
        recovery.twilio.message(sid(number), ago(minutes=30 - number), body=body)

    assert len(recovery.results("--since", "2h", "--yes")) == 3

    for number in (2, 3):
        delivery = recovery.delivery(number)
        assert (delivery["status"], delivery["flex_flow_sid"]) == ("delivered", rule.sid)
        assert sum("The conversation stays" in step for step in delivery["route"]) == 1
    recovery.twilio.message(sid(4), ago(minutes=5), body="and now?")
    assert len(recovery.results("--since", "2h", "--yes")) == 1
    assert sum("The conversation stays" in step for step in recovery.delivery(4)["route"]) == 1
    assert recovery.arrived() == [sid(number) for number in range(1, 5)]


def test_a_recovered_message_has_the_form_of_a_webhook(recovery: Recovery) -> None:
    """The form has the values of Twilio's Message resource under the webhook's names, with attachments."""
    recovery.flow()
    media = "ME" + "7" * 32
    recovery.twilio.message(
        sid(1), ago(minutes=30), body="a & b é\n", num_media="1", messaging_service_sid="MG" + "1" * 32
    )
    recovery.twilio.attach(sid(1), media, "image/jpeg")
    recovery.results("--since", "2h", "--yes")
    recovery.delivery(1)

    found = DeliveryLog(Client(recovery.url)).get(ACCOUNT, sid(1))

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


def test_a_dry_run_accepts_no_message(recovery: Recovery) -> None:
    """`--dry-run` shows text, addresses and flow of each message, and accepts none."""
    recovery.flow()
    recovery.twilio.message(sid(1), ago(minutes=30), body="Where is my order?")
    ended = recovery.run("--since", "2h", "--dry-run")
    assert ended.exit_code == 0
    for shown in (sid(1), "Where is my order?", THEIRS, "Support", "1 missing"):
        assert shown in ended.output
    assert recovery.service.get(f"/v1/Deliveries/{sid(1)}")[0] == 404


def test_messages_without_a_flow_are_left_out(recovery: Recovery) -> None:
    """A message that no flow takes may be another system's: it is left out, or unrouted if --to names its address."""
    recovery.twilio.message(sid(1), ago(minutes=30))
    recovery.twilio.message(sid(2), ago(minutes=30), to="+15550000009")
    assert recovery.results("--since", "2h", "--yes") == []
    assert "No flow takes 2 of them" in recovery.run("--since", "2h", "--dry-run").output
    assert recovery.results("--since", "2h", "--yes", "--to", OURS) == [(sid(1), "accepted")]
    assert recovery.delivery(1)["status"] == "unrouted"


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
def test_an_error_names_its_cause(
    recovery: Recovery, options: list[str], environ: dict[str, str], status: int, says: str
) -> None:
    """On an error the output names the cause, the exit status is not 0, and no message is accepted."""
    recovery.flow()
    recovery.twilio.message(sid(1), ago(minutes=30))
    ended = recovery.run(*options, **environ)
    assert ended.exit_code == status
    assert says in " ".join(ended.output.split())
    assert recovery.service.get(f"/v1/Deliveries/{sid(1)}")[0] == 404


def test_a_message_whose_media_cannot_be_listed_fails_alone(recovery: Recovery) -> None:
    """If Twilio's list of a message's media fails, that message is reported as failed; the others are accepted."""
    recovery.flow()
    recovery.twilio.message(sid(1), ago(minutes=30), num_media="1")
    recovery.twilio.message(sid(2), ago(minutes=29))
    ended = recovery.run("--since", "2h", "--yes", "--json")
    assert ended.exit_code == 1
    results = {each["sid"]: each["result"] for each in json.loads(ended.output)}
    assert results[sid(1)].startswith("failed: Twilio's REST API answered 404")
    assert results[sid(2)] == "accepted"


def test_recover_asks_before_it_accepts(recovery: Recovery) -> None:
    """At a terminal the command asks first, and accepts nothing after a no; without a terminal it needs --yes."""
    recovery.flow()
    recovery.twilio.message(sid(1), ago(minutes=30))
    refused = recovery.run("--since", "2h")
    assert (refused.exit_code, "nothing was accepted: the command cannot ask" in refused.output) == (1, True)
    assert recovery.run_and_answer("n") == 1
    assert recovery.service.get(f"/v1/Deliveries/{sid(1)}")[0] == 404
    assert recovery.run_and_answer("y") == 0
    assert recovery.service.get(f"/v1/Deliveries/{sid(1)}")[0] == 200
