"""`router record` and `router replay-traffic` with a running router."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from twilio.request_validator import RequestValidator

from router.cli.send.traffic import read
from tests.e2e.commands import Cli, invoke
from tests.e2e.running import RunningRouter
from tests.e2e.webhook import form
from tests.integrations.target import Target

OTHER = "AC" + "7" * 32


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRouter]:
    """A `router run` with the demo's flows, for the whole file."""
    running = RunningRouter(tmp_path_factory.mktemp("router"))
    try:
        yield running.up()
    finally:
        running.end()


@pytest.fixture
def cli(router: RunningRouter) -> Cli:
    """Run a command in the data directory of the router."""
    return lambda *args, given="": invoke(*args, given=given, ROUTER_DATA_DIR=str(router.var))


def sids(cli: Cli, *arguments: str) -> list[str]:
    """Simulate messages and return their SIDs."""
    result = cli("simulate", *arguments, "--json")
    assert result.exit_code == 0, result.output
    return [json.loads(line)["sid"] for line in result.output.splitlines()]


def json_lines(result: Result) -> list[dict[str, Any]]:
    """Return the records of a --json output."""
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_recorded_messages_are_sent_again_as_new_ones(cli: Cli, tmp_path: Path) -> None:
    """Messages are recorded in order, and sent again in order with new SIDs, or with `--same-sids` as duplicates."""
    first = sids(cli, "whatsapp", "--to", "+15550000001", "--body", "n", "--count", "6", "--contacts", "2")
    reply = ["--shape", "reply", "--param", f"OriginalRepliedMessageSid={first[0]}", "--method", "GET"]
    first += sids(cli, "whatsapp", "--to", "+15550000001", *reply)
    path = tmp_path / "traffic.jsonl"
    result = cli("record", str(path), "--to", "whatsapp:+15550000001")
    assert result.stdout == (
        f"7 messages recorded in {path}, which only you can read.\nSend them again: router replay-traffic {path}\n"
    )
    recorded = read(path)
    assert [dict(each.form)["MessageSid"] for each in recorded] == first
    assert [each.method for each in recorded] == ["POST"] * 6 + ["GET"]

    dry = cli("replay-traffic", str(path), "--dry-run")
    assert "7 messages of 2 customers in " in dry.stdout
    assert dry.stdout.endswith("/webhooks/whatsapp; nothing was sent.\n")
    again = json_lines(cli("replay-traffic", str(path), "--speed", "max", "--json"))
    assert [each["body"] for each in again] == [dict(each.form)["Body"] for each in recorded]
    assert not {each["sid"] for each in again} & set(first)
    assert {each["delivery"]["status"] for each in again} == {"delivered"}

    same = cli("replay-traffic", str(path), "--speed", "max", "--same-sids")
    assert "Deliveries  delivered x 7; 7 are duplicates, which are delivered once\n" in same.stdout


def test_a_sid_changes_wherever_the_file_names_it(cli: Cli, tmp_path: Path) -> None:
    """A reply refers to the new SID of its message, and a message that is in the file twice gets one new SID."""
    [sid] = sids(cli, "whatsapp", "--to", "+15550000002")
    reply = ["--shape", "reply", "--param", f"OriginalRepliedMessageSid={sid}", "--param", "ButtonPayload=x"]
    sids(cli, "whatsapp", "--to", "+15550000002", *reply)
    path = tmp_path / "traffic.jsonl"
    twice = [cli("record", "-", "--to", "whatsapp:+15550000002").stdout for _ in range(2)]
    path.write_text("".join(twice))
    with Target() as webhook:
        assert cli("replay-traffic", str(path), "--speed", "max", "--url", webhook.url(), "--wait", "0").exit_code == 0
        received = [form(each) for each in webhook.requests]
    assert len({each["MessageSid"] for each in received}) == 2
    [original] = {each["MessageSid"] for each in received if "OriginalRepliedMessageSid" not in each}
    assert {each.get("OriginalRepliedMessageSid", original) for each in received} == {original}
    assert all(each["SmsSid"] == each["SmsMessageSid"] == each["MessageSid"] != sid for each in received)


def test_traffic_can_be_sent_to_another_account_and_address(cli: Cli, router: RunningRouter, tmp_path: Path) -> None:
    """Only with --account are messages sent as another account's, signed with its key; --to changes their address."""
    sids(cli, "sms", "--to", "+15550000003")
    path = tmp_path / "traffic.jsonl"
    cli("record", str(path), "--to", "+15550000003")
    elsewhere = {"TWILIO_ACCOUNT_SID": OTHER, "TWILIO_AUTH_TOKEN": "5e" * 16, "ROUTER_DATA_DIR": str(tmp_path)}
    with Target() as webhook:
        url = webhook.url("/x")
        refused = invoke("replay-traffic", str(path), "--url", url, **elsewhere)
        assert refused.exit_code == 1
        recorder = router.demo["account"][0]["sid"]
        assert refused.stderr.startswith(f"router: {path}, line 1: the message is of {recorder}, which is not one of")
        assert not webhook.requests
        more = ["--account", OTHER, "--to", "+15550000009", "--url", url]
        assert invoke("replay-traffic", str(path), *more, **elsewhere).exit_code == 0
        [request] = webhook.requests
    given = form(request)
    assert (given["AccountSid"], given["To"]) == (OTHER, "+15550000009")
    assert RequestValidator("5e" * 16).validate(url, given, request.header("X-Twilio-Signature"))
    wrong = invoke("replay-traffic", str(path), *more[:2], "--to", "whatsapp:+1555", **elsewhere)
    assert wrong.stderr == (
        f"router: {path}, line 1: a message on sms, but --to whatsapp:+1555 is not an address of this channel\n"
    )


def test_the_pace_is_that_of_the_recording(cli: Cli, tmp_path: Path) -> None:
    """At speed 1 a replay takes at least as long as the recording did, and at speed 10 at least a tenth of that."""
    sids(cli, "sms", "--to", "+15550000004", "--count", "5", "--contacts", "5", "--rate", "8")
    path = tmp_path / "traffic.jsonl"
    cli("record", str(path), "--to", "+15550000004")
    at = [each.at for each in read(path)]
    for speed in (1, 10):
        began = time.monotonic()
        assert cli("replay-traffic", str(path), "--speed", str(speed)).exit_code == 0
        assert time.monotonic() - began >= (at[-1] - at[0]) / speed


def test_a_redacted_recording_can_be_sent_again(cli: Cli, tmp_path: Path) -> None:
    """With --redact the file has neither number, text nor name of the customer, and the router accepts its messages."""
    arguments = ["--to", "+15550000005", "--from", "+14155557788", "--body", "Secret"]
    sids(cli, "whatsapp", *arguments, "--shape", "reply", "--count", "3")
    path = tmp_path / "shared.jsonl"
    assert cli("record", str(path), "--to", "whatsapp:+15550000005", "--redact").exit_code == 0
    text = path.read_text()
    assert not any(word in text for word in ("5557788", "Secret", "Ana"))
    again = json_lines(cli("replay-traffic", str(path), "--speed", "max", "--json"))
    assert {each["delivery"]["status"] for each in again} == {"delivered"}
    assert len({each["from"] for each in again}) == 1


def test_without_messages_record_makes_no_file(cli: Cli, tmp_path: Path) -> None:
    """If no message matches, `record` fails and makes no file; --keep without --redact is a usage error."""
    path = tmp_path / "none.jsonl"
    result = cli("record", str(path), "--channel", "line")
    assert (result.exit_code, path.exists()) == (1, False)
    assert result.stderr == (
        "router: no such messages, so no file was written; see all messages with: router deliveries list\n"
    )
    assert cli("record", str(path), "--keep", "Body").exit_code == 2


def test_limit_records_the_newest_and_a_dash_writes_to_standard_output(cli: Cli) -> None:
    """`--limit` records the newest messages in order; with `-`, standard output has only the recorded lines."""
    sent = sids(cli, "sms", "--to", "+15550000007", "--count", "5")
    result = cli("record", "-", "--to", "+15550000007", "--limit", "3")
    assert [each["parameters"]["MessageSid"] for each in json_lines(result)] == sent[-3:]
    with Target() as webhook:
        again = cli("replay-traffic", "-", "--url", webhook.url(), "--speed", "max", "--wait", "0", given=result.stdout)
        assert again.exit_code == 0, again.output
        assert [form(each)["Body"] for each in webhook.requests] == ["Hello 3", "Hello 4", "Hello 5"]


def test_without_a_router_or_messages_it_fails(cli: Cli, tmp_path: Path) -> None:
    """Without a router, with an empty file or with an invalid speed, `replay-traffic` fails with its reason."""
    sids(cli, "sms", "--to", "+15550000008", "--count", "3")
    path = tmp_path / "traffic.jsonl"
    cli("record", str(path), "--to", "+15550000008")
    gone = cli("replay-traffic", str(path), "--url", "http://127.0.0.1:1/webhooks/sms")
    assert gone.exit_code == 1
    assert gone.stderr.startswith("router: nothing listens at http://127.0.0.1:1")
    path.write_text("\n")
    assert cli("replay-traffic", str(path)).stderr == f"router: {path} has no messages\n"
    assert cli("replay-traffic", str(path), "--speed", "0").exit_code == 2
