"""The file of recorded messages."""

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
from tests.core.samples import SAMPLES, SMS, Sample

AT = 1_763_717_400.123


def record(sample: Sample, at: float = AT) -> Recorded:
    """Record a sample."""
    return Recorded(at, sample.channel, "POST", list(sample.fields))


def written(path: Path, *records: Recorded | str) -> Path:
    """Make a file of records or of raw lines."""
    path.write_text("".join(each if isinstance(each, str) else each.line() for each in records))
    return path


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.label)
def test_every_kind_of_message_is_read_back(tmp_path: Path, sample: Sample) -> None:
    """Each sample is read back with all parameters in order, its channel, method and time."""
    [found] = read(written(tmp_path / "a.jsonl", record(sample)))
    assert (found.form, found.channel, found.method) == (list(sample.fields), sample.channel, "POST")
    assert found.at == pytest.approx(AT, abs=0.001)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.text(min_size=1), st.text()), max_size=20))
def test_any_parameters_are_read_back(more: list[tuple[str, str]]) -> None:
    """Any parameter names and values are read back, and the values of a repeated name keep their order."""
    known = {name for name, _ in SMS.fields}
    form = [*SMS.fields, *((name, value) for name, value in more if name not in known)]
    line = Recorded(AT, "sms", "GET", form).line()
    assert line.count("\n") == 1
    found = traffic._record(line.encode("utf-8", "surrogatepass"))
    for name in {name for name, _ in form}:
        assert [value for key, value in found.form if key == name] == [value for key, value in form if key == name]


def test_the_file_has_mode_0600_and_is_never_overwritten(tmp_path: Path) -> None:
    """The file has mode 0600, and an existing file is not overwritten."""
    path = tmp_path / "a.jsonl"
    write(path, [record(SMS).line()])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(RouterError, match="already exists: name another file"):
        write(path, [])
    assert len(read(path)) == 1


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """A file that cannot be written is a RouterError with the reason."""
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
        pytest.param('{"parameters": {"Body": "\\ud83d"}}', "parameter 'Body' is not a text", id="a lone surrogate"),
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
    """A damaged line makes the whole file unreadable; the error names file, line and reason."""
    path = written(tmp_path / "a.jsonl", record(SMS), "\n", line.strip() + "\n")
    with pytest.raises(RouterError) as error:
        read(path)
    assert str(error.value).startswith(f"{path}, line 3: ")
    assert sentence in str(error.value)


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is missing, a folder or too large is a RouterError with the reason."""
    path = written(tmp_path / "a.jsonl", record(SMS))
    with pytest.raises(RouterError, match=r"absent.jsonl cannot be read: No such file or directory"):
        read(tmp_path / "absent.jsonl")
    with pytest.raises(RouterError, match="cannot be read: it is a folder"):
        read(tmp_path)
    monkeypatch.setattr(traffic, "FILE_MOST", 100)
    with pytest.raises(RouterError, match="is over 0 MiB: split it into parts, for example with `split -l 100000`"):
        read(path)
