"""The file of recorded messages: lines are read back, damaged ones reported, redacted ones have no personal data."""

import json
import re
import resource
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.cli.send import traffic
from router.cli.send.traffic import Recorded, read, write
from router.errors import RouterError
from router.message.inbound import Message, conversation_id
from router.message.redaction import ADDRESSES, KEPT, Redaction
from tests.core.samples import SAMPLES, SMS, Sample

AT = 1_763_717_400.123


def record(sample: Sample, at: float = AT) -> Recorded:
    """Write a sample as a recording has it."""
    return Recorded(at, sample.channel, "POST", list(sample.fields))


def written(path: Path, *records: Recorded | str) -> Path:
    """Make a file of records, or of lines as they are."""
    path.write_text("".join(each if isinstance(each, str) else each.line() for each in records))
    return path


# --- the file ---


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.label)
def test_every_kind_of_message_survives(tmp_path: Path, sample: Sample) -> None:
    """What is written on a line is read from it, parameter by parameter, blank ones and their order included."""
    [found] = read(written(tmp_path / "a.jsonl", record(sample)))
    assert (found.form, found.channel, found.method) == (list(sample.fields), sample.channel, "POST")
    assert found.at == pytest.approx(AT, abs=0.001)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.text(min_size=1), st.text()), max_size=20))
def test_any_parameters_survive(more: list[tuple[str, str]]) -> None:
    """Also names that come several times, whose values stay in order, and any text at all."""
    known = {name for name, _ in SMS.fields}
    form = [*SMS.fields, *((name, value) for name, value in more if name not in known)]
    line = Recorded(AT, "sms", "GET", form).line()
    assert line.count("\n") == 1
    found = traffic._record(line.encode("utf-8", "surrogatepass"))
    for name in {name for name, _ in form}:
        assert [value for key, value in found.form if key == name] == [value for key, value in form if key == name]


def test_it_is_its_owners_alone_and_never_overwritten(tmp_path: Path) -> None:
    """Mode 0600, and a file that exists is left as it is."""
    path = tmp_path / "a.jsonl"
    write(path, [record(SMS).line()])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(RouterError, match="exists already: name another file"):
        write(path, [])
    assert len(read(path)) == 1


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    """One sentence with the reason, here of a limit on the length of files."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(RouterError, match=r"a.jsonl cannot be written: File too large"):
            write(tmp_path / "a.jsonl", ["x" * 100_000])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        pytest.param(
            '{"at": "2026', "not JSON: the file is damaged, or `router record` did not write it", id="cut short"
        ),
        pytest.param("\x00\x01", "not JSON", id="bytes"),
        pytest.param("[" * 100_000, "not JSON", id="nested without end"),
        pytest.param("[]", "not a recorded webhook", id="another kind of JSON"),
        pytest.param('{"sid": "SM1"}', "not a recorded webhook", id="the output of simulate --json"),
        pytest.param('{"parameters": {"Body": 1}}', "parameter 'Body' is not a text", id="a number"),
        pytest.param('{"parameters": {"Body": "\\ud83d"}}', "parameter 'Body' is not a text", id="half a sign"),
        pytest.param('{"parameters": {"Body": "Hi"}}', "not an inbound message: AccountSid is not", id="no message"),
        pytest.param(record(SMS).line().replace("POST", "PUT"), "method is 'PUT', not POST or GET", id="a method"),
        pytest.param(
            record(SMS).line().replace('"sms"', '"rcs"'),
            "channel is 'rcs', but the addresses are of sms",
            id="a channel",
        ),
        pytest.param(
            re.sub(r'"at": "[^"]+"', '"at": "noon"', record(SMS).line()), "at is 'noon', not a time", id="a time"
        ),
        pytest.param(
            json.dumps({"parameters": dict(SMS.fields) | {f"P{n}": "" for n in range(500)}}),
            "500 are allowed",
            id="fields",
        ),
        pytest.param(json.dumps({"parameters": {"Body": "x" * traffic.LINE_MOST}}), "over 1 MiB", id="a long line"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: str, sentence: str) -> None:
    """File, line and reason, and nothing is taken of the whole file."""
    path = written(tmp_path / "a.jsonl", record(SMS), "\n", line.strip() + "\n")
    with pytest.raises(RouterError) as error:
        read(path)
    assert str(error.value).startswith(f"{path}, line 3: ")
    assert sentence in str(error.value)


def test_a_file_that_cannot_be_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not there, a folder, too large."""
    path = written(tmp_path / "a.jsonl", record(SMS))
    with pytest.raises(RouterError, match=r"absent.jsonl cannot be read: No such file or directory"):
        read(tmp_path / "absent.jsonl")
    with pytest.raises(RouterError, match="cannot be read: it is a folder"):
        read(tmp_path)
    monkeypatch.setattr(traffic, "FILE_MOST", 100)
    with pytest.raises(RouterError, match="is over 0 MiB: split it into parts, as with `split -l 100000`"):
        read(path)


# --- redaction ---


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.label)
def test_a_redacted_message_is_valid_and_has_no_personal_data(sample: Sample) -> None:
    """It parses, on its channel and to its address; nothing that the customer is or wrote is in it."""
    form = Redaction().form(list(sample.fields))
    message = Message.parse(form)
    assert (message.channel, message.to) == (sample.channel, dict(sample.fields)["To"])
    assert [name for name, _ in form] == [name for name, _ in sample.fields]
    before, text = dict(sample.fields), json.dumps(form, ensure_ascii=False)
    for name, value in before.items():
        if name in ADDRESSES and value != before["To"]:
            assert dict(form)[name] != value
            assert value.rpartition(":")[2].removeprefix("+") not in text
        elif not any(re.fullmatch(kept.replace("N", r"\d+"), name) for kept in KEPT if kept.endswith("N")):
            assert name in KEPT or name in ADDRESSES or value == "" or dict(form)[name] != value


def test_conversations_stay_conversations() -> None:
    """A customer is the same one on every line and channel; two are never one, and no two runs tell of each other."""
    redaction = Redaction()

    def lane(from_: str, to: str = "whatsapp:+14155238886") -> str:
        found = dict(redaction.form([("WaId", from_.rpartition("+")[2]), ("From", from_), ("To", to)]))
        assert found["WaId"] == found["From"].rpartition("+")[2]
        return conversation_id("AC", "whatsapp", found["To"], found["From"])

    numbers = [f"whatsapp:+521551234567{n}" for n in range(10)]
    assert len({lane(number) for number in numbers}) == 10
    assert lane(numbers[0]) == lane(numbers[0])
    sms = dict(redaction.form([("From", "+5215512345670"), ("To", "+1")]))["From"]
    assert sms == "+5200000000001"
    assert dict(redaction.form([("From", numbers[0]), ("To", "+1")]))["From"] == f"whatsapp:{sms}"


@pytest.mark.parametrize(
    ("address", "redacted"),
    [
        ("+5215512345678", "+5200000000001"),
        ("40404", "00001"),
        ("MyBank", "000001"),
        ("whatsapp:US.13491208655302741918", "whatsapp:US.00000000000000000001"),
        ("whatsapp:US.ENT.11815799212886844830", "whatsapp:US.ENT.00000000000000000001"),
        ("messenger:4915550123456789", "messenger:4900000000000001"),
        ("line:U4af4980629", "line:00000000001"),
        ("Apple:urn:mbid:AQAAY", "Apple:00000000000001"),
    ],
)
def test_an_address_becomes_one_of_its_kind(address: str, redacted: str) -> None:
    """Its channel, its country and its length stay; the rest is a number, counted up."""
    assert dict(Redaction().form([("From", address), ("To", "")]))["From"] == redacted


def test_a_text_keeps_its_layout_and_nothing_else() -> None:
    """Letters, figures and emoji are masked; JSON stays JSON; a URL is the same one wherever it comes."""
    given = [
        ("Body", "Olá, Zoë!\n+1 415 👍"),
        ("MediaUrl0", "https://api.twilio.com/ME1"),
        ("FlowData", '{"name": "Ana", "age": 42, "photo": "https://api.twilio.com/ME1", "ok": true}'),
        ("Latitude", "-19.43"),
    ]
    found = dict(Redaction().form(given))
    assert found["Body"] == "Xxx, Xxx!\n+0 000 x"
    assert found["MediaUrl0"] == "https://redacted.example/1"
    assert json.loads(found["FlowData"]) == {"name": "Xxx", "age": 0, "photo": "https://redacted.example/1", "ok": True}
    assert found["Latitude"] == "-00.00"
    assert dict(Redaction(keep=["Body"]).form(given))["Body"] == given[0][1]


_PERSON = ("Zoë Müller", "15557654321", "ME0123456789", "37.774929", "zoe@example.org")
_TELLING = st.sampled_from([
    *_PERSON, *(f"+{each}" for each in _PERSON), *(json.dumps({each: [each, {"n": each}]}) for each in _PERSON),
    *(f"https://media.example/{each}?{each}" for each in _PERSON), *(f'text/x; name="{each}"' for each in _PERSON),
    "https://media.example/ME0123456789", '{"n": 15557654321, "at": 37.774929}',
])  # fmt: skip
_NAMES = st.sampled_from([
    *(name.replace("N", "0") if name.endswith("N") else name for name in KEPT if not name.startswith("To")),
    *(name for name in ADDRESSES if name != "From"), "Body", "ProfileName", "MediaUrl0", "Latitude", "Tomorrow1",
    *_PERSON,
])  # fmt: skip


@given(st.lists(st.tuples(_NAMES, _TELLING), max_size=8))
def test_nothing_of_a_person_is_left_wherever_it_stands(more: list[tuple[str, str]]) -> None:
    """Also in a parameter that is kept, in the name of one, and in JSON's names: it is masked."""
    form = [("From", "whatsapp:+15557654321"), ("To", "whatsapp:+4930"), *more]
    left = json.dumps(Redaction().form(form), ensure_ascii=False)
    assert not [each for each in _PERSON if each in left]
