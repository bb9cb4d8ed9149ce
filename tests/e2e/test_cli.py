"""The commands `simulate`, `deliveries` and `explain` against a running router with a real store."""

import json
import re
import subprocess
from collections.abc import Iterator
from urllib.parse import parse_qsl

import pytest

from router.cli.send.signing import TAMPERS
from tests.e2e.commands import FLOWS, Cli, external, invoke
from tests.e2e.running import ROUTER, RunningRouter, clean_environ
from tests.integrations.target import Target, answer, close, in_turn, reset
from tests.waiting import wait_until

TO = {"sms": "+15005550006", "whatsapp": "+14155238886", "facebook": "1049", "rcs": "rcs:demo_agent"}


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    """A target for flows of the kind `external`."""
    with Target() as server:
        yield server


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRouter]:
    """A `router run` with the flows of commands.py, for the whole file: each test uses addresses of its own."""
    folder = tmp_path_factory.mktemp("router")
    running = RunningRouter(folder, ROUTER_ALLOWED_NETWORKS="127.0.0.0/8", ROUTER_RETRY_DELAYS="0.05")
    try:
        running.up()
        applied = invoke("flows", "apply", "-", "--prune", "--yes", given=FLOWS, ROUTER_DATA_DIR=str(running.var))
        assert applied.exit_code == 0, applied.output
        yield running
    finally:
        running.end()


@pytest.fixture
def cli(router: RunningRouter) -> Cli:
    """Run a command in the data directory of the router."""
    return lambda *args, given="": invoke(*args, given=given, ROUTER_DATA_DIR=str(router.var))


def bodies(target: Target, path: str) -> list[str]:
    """Return the texts that the target received on a path, in order."""
    return [dict(parse_qsl(each.body.decode()))["Body"] for each in target.requests if each.target == path]


# --- simulate ---


@pytest.mark.parametrize("channel", ["sms", "whatsapp", "facebook", "rcs"])
def test_a_message_of_each_channel_is_delivered(cli: Cli, channel: str) -> None:
    """`simulate` prints the answer that the customer would get, the route, and that the message was delivered."""
    result = cli("simulate", channel, "--body", "Hola", "--to", TO[channel])
    assert result.exit_code == 0, result.output
    for words in ("“Hola”", "200 after ", "You wrote: Hola", "handler echo, relay", "Delivery  delivered"):
        assert words in result.output


def test_attachments_are_simulated(cli: Cli) -> None:
    """A message with `--media` has an MM SID, and its media types come from the URL or the option."""
    media = ["--media", "https://example.com/photo.jpg", "--media", "https://example.com/x?a=1,2,application/pdf"]
    sent = json.loads(cli("simulate", "whatsapp", *media, "--json").output)
    assert sent["sid"].startswith("MM")
    assert "You sent 2 attachments" in sent["answer"]
    shown = cli("deliveries", "show", sent["sid"]).output
    assert "Z  (now)\n" in shown or " s ago)\n" in shown
    assert "image/jpeg  https://example.com/photo.jpg" in shown
    assert "application/pdf  https://example.com/x?a=1,2" in shown
    assert sent["delivery"]["status"] == "delivered"


@pytest.mark.parametrize("how", TAMPERS)
def test_a_tampered_message_is_refused_and_leaves_no_trace(cli: Cli, how: str) -> None:
    """Each `--tamper` gets a 403, which is exit status 0, and the router keeps no record of the message."""
    result = cli("simulate", "sms", "--tamper", how, "--json")
    sent = json.loads(result.output)
    assert (result.exit_code, sent["status"], sent["delivery"]) == (0, 403, None)
    assert (sent["twilio"]["error_code"], sent["twilio"]["calls_fallback"]) == (11200, True)
    shown = cli("deliveries", "show", sent["sid"])
    assert shown.exit_code == 1
    assert f"no record of {sent['sid']}" in shown.stderr


def test_the_same_sid_twice_is_a_duplicate(cli: Cli, target: Target) -> None:
    """A duplicate gets the first answer, and the target does not receive it."""
    target.script["/twice"] = answer(body=b"<Response><Message>once</Message></Response>")
    cli("flows", "apply", "-", given=external("+15005550010", target.url("/twice")))
    arguments = ("simulate", "sms", "--to", "+15005550010", "--sid", "SM" + "a" * 32)
    assert "once" in cli(*arguments).output
    again = cli(*arguments)
    assert "once" in again.output
    assert "received 2 times, delivered once" in again.output
    assert len(bodies(target, "/twice")) == 1


def test_an_answer_that_is_not_twiml_is_shown(cli: Cli, target: Target) -> None:
    """If the answer is not TwiML, Twilio gets an empty one; `simulate` and `show` print the answer and the reason."""
    target.script["/page"] = answer(body=b"<!DOCTYPE html><p>It works</p>", content_type="text/html")
    cli("flows", "apply", "-", given=external("+15005550016", target.url("/page")))
    sent = cli("simulate", "sms", "--to", "+15005550016").output
    sid = sent.split()[-1]
    for shown in (sent, cli("deliveries", "show", sid).output):
        assert "Target answered  not TwiML: it has a DOCTYPE, text/html\n" in shown
        assert "<!DOCTYPE html><p>It works</p>" in shown
    many = cli("simulate", "sms", "--to", "+15005550016", "--count", "3").output
    assert "not TwiML: it has a DOCTYPE x 3" in many


def test_many_messages_of_many_customers_keep_their_order(cli: Cli, target: Target) -> None:
    """`--count` numbers the messages, `--contacts` distributes them, and each customer's messages arrive in order."""
    cli("flows", "apply", "-", given=external("+15005550011", target.url("/many")))
    result = cli("simulate", "sms", "--to", "+15005550011", "--body", "n", "--count", "12", "--contacts", "3")
    assert result.exit_code == 0, result.output
    assert "12 sms messages of 3 customers" in result.output
    assert "delivered x 12" in result.output
    for customer in range(3):
        assert [body for body in bodies(target, "/many") if (int(body[2:]) - 1) % 3 == customer] == [
            f"n {number}" for number in range(customer + 1, 13, 3)
        ]


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_get_webhook_is_accepted_like_a_post(cli: Cli, method: str) -> None:
    """A webhook by GET is accepted, and its text beyond ASCII is kept."""
    result = cli("simulate", "sms", "--to", "+15005550006", "--method", method, "--body", "¿Dónde? 100% & más")
    assert result.exit_code == 0, result.output
    assert "You wrote: ¿Dónde? 100% & más" in result.output


def test_a_lost_connection_is_one_message_without_an_answer(cli: Cli) -> None:
    """When a connection breaks, `simulate` counts a message without an answer, sends the others, and exits with 1."""
    with Target({"/": in_turn(close, answer(), reset, answer())}) as webhook:
        result = cli("simulate", "sms", "--url", webhook.url(), "--count", "6", "--wait", "0")
        assert len(webhook.requests) == 6
        assert result.exit_code == 1
        assert "200 x 4, no answer x 2" in result.output
        assert "11200 (HTTP retrieval failure) in the debugger and the fallback URL x 2" in result.output


def test_without_a_router_the_error_names_twilios_error_code(cli: Cli) -> None:
    """If no program listens at the URL, `simulate` reports that, and the error that Twilio would log."""
    result = cli("simulate", "sms", "--url", "http://127.0.0.1:1/webhooks/sms")
    assert result.exit_code == 1
    assert result.stderr.startswith("router: nothing listens at http://127.0.0.1:1. Twilio would log error 11205 (")


def test_a_message_of_a_paused_flow_is_reported_as_waiting(cli: Cli) -> None:
    """If a message waits, `simulate` exits with 1, and the output names what it waits for."""
    result = cli("simulate", "sms", "--to", "+15005550001", "--wait", "0")
    assert result.exit_code == 1
    assert "queued, 0 attempts so far: its flow is paused" in result.output
    [*_, sid] = result.output.split()
    shown = cli("deliveries", "show", sid).output
    assert re.search(r"Waits for +FO[0-9a-f]{32} is paused, so its messages wait", shown), shown


# --- deliveries ---


def test_undelivered_messages_are_sent_again_in_order(cli: Cli, target: Target) -> None:
    """After a target is repaired, one command replays the messages that it missed, in the order of acceptance."""
    target.script["/repaired"] = answer(404)
    cli("flows", "apply", "-", given=external("+15005550012", target.url("/repaired")))
    sent = cli("simulate", "sms", "--to", "+15005550012", "--body", "n", "--count", "5", "--contacts", "2", "--json")
    assert sent.exit_code == 1
    sids = [json.loads(line)["sid"] for line in sent.output.splitlines()]
    listed = cli("deliveries", "list", "--status", "undelivered", "--to", "+1 500 555 0012").output
    assert all(sid in listed for sid in sids)
    assert "! " in listed
    assert "404" in cli("deliveries", "show", sids[0]).output

    missed = len(bodies(target, "/repaired"))
    preview = cli("deliveries", "replay", "--status", "undelivered", "--since", "1h", "--dry-run").output
    assert [sid for line in preview.splitlines() if (sid := line.split()[0]) in sids] == sids
    assert len(bodies(target, "/repaired")) == missed

    reported = json.loads(cli("deliveries", "replay", *sids[:2], "--dry-run", "--json").output)
    assert [(each["sid"], each["result"]) for each in reported] == [(sid, "chosen") for sid in sids[:2]]

    target.script["/repaired"] = answer()
    replayed = cli("deliveries", "replay", "--status", "undelivered", "--since", "1h")
    assert replayed.exit_code == 0, replayed.output
    assert "5 of 5 queued again" in replayed.output
    wait_until(lambda: len(bodies(target, "/repaired")) == missed + 5, what="all came again")
    again = bodies(target, "/repaired")[missed:]
    assert [body for body in again if body in {"n 1", "n 3", "n 5"}] == ["n 1", "n 3", "n 5"]
    assert [body for body in again if body in {"n 2", "n 4"}] == ["n 2", "n 4"]
    shown = wait_until(
        lambda: found if "delivered" in (found := cli("deliveries", "show", sids[0]).output) else "",
        what="the first is delivered",
    )
    assert "replayed 1 x" in shown


def test_an_unrouted_message_is_delivered_by_a_replay(cli: Cli, target: Target) -> None:
    """A message to an address without a flow is kept; once the address has a flow, a replay delivers it."""
    sent = cli("simulate", "sms", "--to", "+15005550013")
    assert sent.exit_code == 1
    assert "Delivery  unrouted: " in sent.output
    [sid] = [each["sid"] for each in json.loads(cli("deliveries", "list", "--to", "+15005550013", "--json").output)]
    reported = cli("deliveries", "replay", sid, "--json")
    assert (reported.exit_code, json.loads(reported.output)[0]["result"]) == (1, "unrouted")
    refused = cli("deliveries", "replay", sid)
    assert refused.exit_code == 1
    assert "no flow takes it now" in refused.stderr
    cli("flows", "apply", "-", given=external("+15005550013", target.url("/added")))
    assert cli("deliveries", "replay", "--status", "unrouted", "--since", "1h").exit_code == 0
    wait_until(lambda: bodies(target, "/added") == ["Hello"], what="it is delivered")


def test_a_replay_can_use_the_original_or_the_current_route(cli: Cli, target: Target) -> None:
    """`--route original` sends a message to its first flow, `--route current` to the flow that has the address now."""
    cli("flows", "apply", "-", given=external("+15005550014", target.url("/then")))
    sent = json.loads(cli("simulate", "sms", "--to", "+15005550014", "--json").output)
    before = json.loads(cli("flows", "list", "--json").output)
    [then] = [each["sid"] for each in before if each["contact_identity"] == "+15005550014"]
    moved = external("+15005550015", target.url("/then"), sid=f'"{then}"') + external(
        "+15005550014", target.url("/now")
    )
    assert cli("flows", "apply", "-", given=moved).exit_code == 0
    cli("deliveries", "replay", sent["sid"])
    wait_until(lambda: len(bodies(target, "/then")) == 2, what="the first flow's target has it again")
    wait_until(lambda: "delivered" in cli("deliveries", "show", sent["sid"]).output, what="it is settled")
    assert cli("deliveries", "replay", sent["sid"], "--route", "current").exit_code == 0
    wait_until(lambda: len(bodies(target, "/now")) == 1, what="the current flow's target has it")


def test_list_applies_its_filters(cli: Cli) -> None:
    """`list` applies filters and limit, prints ISO times in JSON, and exits with 2 for an invalid time."""
    for body in ("first", "second", "third"):
        cli("simulate", "rcs", "--from", "+14155559999", "--body", body)
    found = json.loads(cli("deliveries", "list", "--from", "rcs:+14155559999", "--since", "5m", "--json").output)
    assert [each["body"] for each in found] == ["third", "second", "first"]
    assert found[0]["date_created"].endswith("Z")
    listed = cli("deliveries", "list", "--from", "rcs:+14155559999", "--limit", "2").output
    assert "third" in listed
    assert "first" not in listed
    assert "there may be more" in listed
    nothing = cli("deliveries", "list", "--flow", "FO" + "0" * 32).output
    assert nothing.startswith("No messages match")
    assert "router recover" in nothing
    assert cli("deliveries", "list", "--since", "yesterday").exit_code == 2


def test_a_customers_text_does_not_control_the_terminal(cli: Cli) -> None:
    """Escape sequences and line feeds of a message are replaced, and its markup is printed as text."""
    sent = json.loads(cli("simulate", "rcs", "--body", "\x1b[2J[red]a[/red]\nb\u202e", "--json").output)
    shown = cli("deliveries", "show", sent["sid"]).output
    listed = cli("deliveries", "list", "--limit", "1").output
    assert not {"\x1b", "\u202e"} & set(shown + listed)
    assert "[red]a[/red] ⏎ b" in listed


def test_output_to_a_pipe_is_not_cut(cli: Cli, router: RunningRouter) -> None:
    """Without a terminal each line of `list` is one whole record, also with a small COLUMNS."""
    sid = json.loads(cli("simulate", "whatsapp", "--body", "word " * 9, "--json").output)["sid"]
    command = [str(ROUTER), "deliveries", "list", "--limit", "3"]
    piped = subprocess.run(
        command,
        cwd=router.folder,
        env=clean_environ(COLUMNS="40"),
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    [line] = [line for line in piped.stdout.splitlines() if line.startswith(sid)]
    assert line.endswith(("word " * 9).strip())
    assert piped.stderr == ""


# --- explain ---


def test_explain_prints_where_a_message_would_go(cli: Cli) -> None:
    """`explain` prints the flow, and makes no delivery; an address needs no channel prefix."""
    result = cli("explain", "--to", "1 500 555 0006", "--channel", "whatsapp", "--from", "+14155550188")
    assert result.exit_code == 0, result.output
    assert "whatsapp  whatsapp:+14155550188 → whatsapp:+15005550006" in result.output
    assert "“WhatsApp”" in result.output
    assert "No messages match" in cli("deliveries", "list", "--from", "whatsapp:+14155550188").output
    paused = cli("explain", "--to", "+15005550001").output
    assert "it is paused, so the message would wait" in paused


def test_explain_prints_why_no_flow_takes_a_message(cli: Cli) -> None:
    """If no flow takes the message, `explain` prints why and what to do, in JSON too, with exit status 1."""
    result = cli("explain", "--to", "+15990000000")
    assert result.exit_code == 1
    assert "no flow: " in result.output
    assert "router flows list" in result.output
    result = cli("explain", "--to", "+15990000000", "--json")
    assert (result.exit_code, json.loads(result.output)["flex_flow_sid"]) == (1, None)
