"""A flow's Match: which expressions are allowed, what they return, and the errors for their author."""

import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gevent
import pytest

from router.errors import ExpressionError
from router.match import FUNCTIONS, MOST, VARIABLES, compile_expression, try_expression
from router.match.engine import compile_source, run

# A Saturday in UTC. In Berlin it is Sunday 00:30, in Kathmandu Sunday 04:15.
NOW = datetime(2026, 10, 24, 22, 30, 15, 250_000, tzinfo=UTC)
SMS = {name: variable.samples[0] for name, variable in VARIABLES.items()} | {"now": NOW}

ANSWERS = [
    ('channel == "sms"', {}, True),
    ('channel in ["whatsapp", "rcs"]', {}, False),
    ('body.lowerAscii().trim() == "menu"', {"body": "  MENU\n"}, True),
    ('body.lowerAscii() == "Ünder"', {"body": "ÜNDER"}, True),
    (r'body.matches("(?i)^\\s*(größe|size)\\b")', {"body": " GRÖSSE?"}, False),
    (r'body.matches("(?i)^\\s*(größe|size)\\b")', {"body": " GRÖßE?"}, True),
    (r"body.matches(r'^\d{4}$')", {"body": "1234"}, True),
    ('"é".matches("^.$")', {}, True),
    (r'body.matches("(?i)^\\s*(refund|возврат)(\\s|[[:punct:]]|$)")', {"body": " возврат!".upper()}, True),
    (r'body.matches("(?i)^\\s*(refund|возврат)(\\s|[[:punct:]]|$)")', {"body": "refunds"}, False),
    ("body.size() == 3 && size(body) == 3", {"body": "日本😀"}, True),
    ('size(["a", "b"]) == 2', {}, True),
    ('params["ButtonText"] == "" && params.ButtonText == ""', {"params": {"Body": "x"}}, True),
    ('params["ButtonText"] == "Yes"', {"params": {"ButtonText": "Yes"}}, True),
    ('params["A"] != "" && int(params["A"]) > 17', {"params": {"A": "18"}}, True),
    ('params["A"] != "" && double(params["A"]) > 17.5', {"params": {"A": "17.4"}}, False),
    ("num_media > 0", {"num_media": 2}, True),
    ('country == "DE" ? language == "de" : false', {"country": "DE", "language": "de"}, True),
    ('from.startsWith("+1") && !to.endsWith("99")', {}, True),
    ('profile_name.contains("Ada")', {"profile_name": "Ada L."}, True),
    ('button_payload == "order" || opt_out_type == "STOP"', {"opt_out_type": "STOP"}, True),
    ('"a\\n" == "a" + "\\u000a"', {}, True),
    ('body == "x" // said x', {"body": "x"}, True),
    ('body == "x"\n  || num_media > 3', {"num_media": 4}, True),
    ('string(num_media) == "0"', {}, True),
    ('now >= timestamp("2026-10-24T22:30:15Z") && now < timestamp("2026-10-25T00:31:00+02:00")', {}, True),
    ('now - timestamp("2026-10-24T20:00:00Z") > duration("2h30m")', {}, True),
    ('(now - timestamp("2026-10-24T20:00:00Z")).getMinutes() == 150', {}, True),
    ("now.getHours() == 22 && now.getMinutes() == 30 && now.getSeconds() == 15", {}, True),
    ("now.getMilliseconds() == 250", {}, True),
    ('now.getHours("Europe/Berlin") == 0 && now.getHours("Asia/Kathmandu") == 4', {}, True),
    ('now.getMinutes("Asia/Kathmandu") == 15', {}, True),
    ("now.getDayOfWeek() == 6", {}, True),
    ('now.getDayOfWeek("Europe/Berlin") == 0', {}, True),
    ('now.getDate("Europe/Berlin") == 25 && now.getDayOfMonth("Europe/Berlin") == 24', {}, True),
    ("now.getMonth() == 9 && now.getFullYear() == 2026 && now.getDayOfYear() == 296", {}, True),
    ("percent(40.5)", {}, True),
    ("percent(40)", {}, False),
    ("true", {}, True),
]

REFUSED = [
    ("", "column 1: it ends too soon"),
    ('channel = "sms"', "column 9: '=' is not expected: write == to compare"),
    ('channel == "sms" and body == "x"', "column 18: no variable is called and; write &&"),
    ("channel == “sms”", "column 12: '“' is not expected: write straight quotes"),
    ('channel == "sms', 'column 12: the text that begins with " does not end'),
    ('channel == "sms" &&', "column 20: it ends too soon"),
    ('channel == "sms"\n&& 1 + ', "line 2, column 8: it ends too soon"),
    ('channel == "sms" body', "column 18: 'body' is not expected here"),
    ('channel == "sms" && == 3', "column 21: '==' is not expected here"),
    ("num_media > 3 ? true", "column 1: a ? needs a : after it"),
    ("num_media > 9223372036854775808", "column 13: invalid int literal"),
    ('body == "\\ud800"', "column 9: invalid string literal"),
    ('body.trim(1) == ""', "column 1: fails for a text message: trim() takes a text"),
    ('channel == "x" && num_media.matches("a")', "column 19: matches() works on a text"),
    ('(channel == "sms"', "column 18: a ( is not closed"),
    ('channel == "sms")', "column 17: ) closes no open bracket"),
    ("(" * 17 + "true" + ")" * 17, "column 17: brackets may be nested 16 deep"),
    ("chanel == 'sms'", "column 1: no variable is called chanel; did you mean channel?"),
    ("foo == 'sms'", f"column 1: no variable is called foo; there are {', '.join(VARIABLES)}"),
    ('body.frob("a")', f"column 6: no function is called frob; there are {', '.join(f.name for f in FUNCTIONS)}"),
    ('body.starts_with("a")', "column 6: no function is called starts_with; did you mean startsWith?"),
    ("body.size > 3", "column 6: only params has fields, so .size is not one"),
    ("has(params.A)", 'column 1: no function is called has; an absent field is "": write params["ButtonText"] != ""'),
    ('"A" in params', 'column 8: params needs the name of a field in quotes, as params["ButtonText"]'),
    ("params[body] == ''", 'column 1: params needs the name of a field in quotes, as params["ButtonText"]'),
    ('{"a": 1}.a == 1', "column 1: '{' is not expected: maps are not available"),
    ('b"a" == b"a"', 'column 1: b"…" is not available: text is written in single or double quotes'),
    ('"""a""" == body', "column 1: triple quotes are not available"),
    ("body.`a` == ''", "column 6: '`' is not expected: names in backticks are not available"),
    ("body", "column 1: fails for a text message: its value is a text, not true or false"),
    ("num_media + 1", "column 1: fails for a text message: its value is an integer, not true or false"),
    ('channel == "x" && body', "column 19: this is a text, but must be true or false"),
    ('channel == "x" && (num_media ? true : false)', "column 20: this is an integer, but must be true or false"),
    ('channel == "x" && body > 3', "column 19: this is not defined for values of these types"),
    ('channel == "x" && body + 3 == "3"', "column 19: string + int is not defined for values of these types"),
    ('channel == "x" && body.startsWith(3)', "column 19: startsWith() does not take values of these types"),
    ('channel == "x" && body.getHours() > 3', "column 19: getHours() is for a timestamp or a duration"),
    ('channel == "x" && size(3) > 3', "column 19: size() takes a text or a list"),
    ('channel == "x" && 1 / 0 > 3', "column 19: division by zero"),
    ('channel == "x" && now > timestamp("2026-02-30T00:00:00Z")', "column 25: timestamp() was given a text"),
    ('channel == "x" && duration("3 days") > duration("1h")', "column 19: duration() was given a text"),
    ('channel == "x" && now.getHours("Mars/X") > 3', "column 32: there is no time zone 'Mars/X'"),
    ('now.getHours("Berlin") > 3', "column 14: there is no time zone 'Berlin'; perhaps Europe/Berlin"),
    ('now.getHours("../../etc/passwd") > 3', "column 14: there is no time zone '../../etc/passwd'"),
    ("now.getHours(body) > 3", 'column 5: getHours() takes a literal, as now.getHours("Europe/Berlin")'),
    ('channel == "x" && body.matches("(")', "column 32: not a regular expression that RE2 accepts: missing ): ("),
    (r'body.matches("(a)\\1")', "column 14: not a regular expression that RE2 accepts: invalid escape sequence"),
    ('body.matches("a{1000}{1000}")', "column 14: not a regular expression that RE2 accepts: bad repetition operator"),
    ('body.matches("(a{30}){30}")', "column 14: too large for a regular expression, 904 instructions where 320 are"),
    (r'body.matches("a") || body.matches("\\pL")', "column 35: too large for a regular expression"),
    ("body.matches(body)", 'column 6: matches() takes a literal, as body.matches("(?i)menu")'),
    (" || ".join(['body.matches("a")'] * 9), "column 182: more than 8 regular expressions; join them with |"),
    ("body + " * 17 + 'body == ""', "column 118: more than 16 sums"),
    ("percent(101)", "column 9: percent() takes a number from 0 to 100, not 101"),
    ("percent(num_media)", "column 1: percent() takes a literal, as percent(10)"),
    ("int(body) > 3", "column 1: fails for a text message: int() was given a text that is not an integer; test"),
    ("true || " * 70 + "true", f"column 513: at most {MOST} characters are allowed, not 564"),
    *((f"[1, 2].{name}(x, x > 1)", f"column 8: {name}() is not available: a Match has no comprehensions")
      for name in ("all", "exists", "exists_one", "map", "filter")),
]  # fmt: skip


def said(more: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables of a sample text message, with some replaced."""
    return {**SMS, **more}


@pytest.mark.parametrize(("text", "more", "answer"), ANSWERS, ids=[text for text, _, _ in ANSWERS])
def test_an_expression_returns_its_value(text: str, more: Mapping[str, Any], answer: bool) -> None:
    """Each variable and function has the value that its documentation says."""
    assert try_expression(text).matches(said(more), 40.0) is answer


@pytest.mark.parametrize(("text", "reason"), REFUSED, ids=[text[:60] for text, _ in REFUSED])
def test_an_expression_that_cannot_work_is_refused_with_the_place(text: str, reason: str) -> None:
    """An expression that cannot work is refused; the error has the place and the reason, also in a skipped branch."""
    with pytest.raises(ValueError, match=r"^(line|column) ") as raised:
        try_expression(text)
    assert str(raised.value).startswith(reason)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
def test_each_documented_function_example_is_valid(function: Any) -> None:
    """Each function's example in the documentation can be saved."""
    guard = 'params["NumSegments"] != "" && params["Latitude"] != "" && '
    try_expression(f"{guard}({function.written}) == ({function.written})")


def test_every_variable_can_be_used() -> None:
    """Each variable of the table can be used, with the type that the table gives."""
    kinds = {"string": '== ""', "int": "== 0", "timestamp": "== now", "map": '["Body"] == ""'}
    for name, variable in VARIABLES.items():
        assert try_expression(f"{name} {kinds[variable.type]} || true").names >= {name}


def test_an_expression_lists_what_it_uses() -> None:
    """A compiled expression lists its names, fields and percentages, and whether it uses the message's content."""
    asked = compile_expression('country == "DE" && now.getHours("Europe/Berlin") > 8 && percent(12.5)')
    assert asked.names == {"country", "now", "getHours", "percent"}
    assert (asked.content, asked.shares, asked.fields) == (False, (12.5,), ())
    asked = compile_expression('params["A"] == params.B')
    assert (asked.content, asked.fields) == (True, ("A", "B"))
    content = {name for name, variable in VARIABLES.items() if variable.content}
    assert content == {"body", "button_payload", "num_media", "params", "opt_out_type"}


def test_the_same_text_is_compiled_once() -> None:
    """The same text is compiled only once."""
    assert compile_expression('body == "once"') is compile_expression('body == "once"')


def test_only_the_fields_that_an_expression_names_are_read() -> None:
    """Evaluating an expression reads only the form fields that it names."""

    class Form(dict[str, str]):
        def items(self) -> Any:
            raise AssertionError("all fields were read")

    assert compile_expression('params["A"] == "1"').matches({"params": Form(A="1", B="2")}, 0.0)


def test_only_the_first_1600_characters_of_a_text_count() -> None:
    """An expression sees only a text's first 1600 characters, the most that a Twilio message has."""
    long = "x" * 1600 + "STOP"
    assert not compile_expression('body.endsWith("STOP") || body.matches("STOP")').matches(said({"body": long}), 0.0)
    assert compile_expression("body.size() == 1600").matches(said({"body": long}), 0.0)
    assert compile_expression('params["A"].size() == 1600').matches({"params": {"A": long}}, 0.0)


FAILING = [
    ('body == "Hello" || body == "" || int(body) > 3', {"body": "x"}, "int() was given a text that is not an integer"),
    ("num_media == 0 || 10 / (num_media - 2) > 1 || true", {"num_media": 2}, ""),
    ("num_media in [0, 2] || 10 / (num_media - 1) > 1", {"num_media": 1}, "division by zero"),
    ("num_media in [0, 2] || [1][num_media] == 1", {"num_media": 1}, "a list has no such place"),
    ("num_media in [0, 2] || num_media * 4611686018427387904 > 1", {"num_media": 3}, "a number out of range"),
    ('(body in ["Hello", ""] ? 1 : "b") > 0', {"body": "x"}, "this is not defined for values of these types"),
    ('body == "Hello" || body == "" ? true : num_media', {"body": "x"}, "its value is an integer, not true or false"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "more", "reason"), FAILING, ids=[text[:60] for text, _, _ in FAILING])
def test_a_failure_for_a_message_is_an_expression_error_without_its_text(
    text: str, more: Mapping[str, Any], reason: str
) -> None:
    """A failure at run time is an ExpressionError whose reason, which is logged, has no text of the message."""
    expression = compile_expression(text)
    if not reason:
        assert expression.matches(said(more), 0.0)
        return
    with pytest.raises(ExpressionError) as raised:
        expression.matches(said(more), 0.0)
    assert str(raised.value) == reason


def test_a_variable_that_is_not_given_is_an_error() -> None:
    """An expression that uses a variable without a value raises ExpressionError."""
    with pytest.raises(ExpressionError, match="body is not known"):
        compile_expression('body == ""').matches({}, 0.0)


@pytest.mark.parametrize("signal", [KeyboardInterrupt, SystemExit, gevent.GreenletExit, gevent.Timeout])
def test_an_exit_or_timeout_during_an_evaluation_is_raised(signal: type[BaseException]) -> None:
    """KeyboardInterrupt, SystemExit, GreenletExit and Timeout are raised although the library catches exceptions."""

    def interrupted() -> bool:
        raise signal

    for text in ("interrupted()", "interrupted() || true", "true && interrupted()"):
        with pytest.raises(signal):
            run(compile_source(text), {}, {"interrupted": interrupted})


class PanicException(BaseException):
    """Stands in for the library's panic exception, which cannot be imported."""


PanicException.__module__ = "pyo3_runtime"


@pytest.mark.parametrize(("raised", "seen"), [(PanicException, ExpressionError), (gevent.Timeout, gevent.Timeout)])
def test_a_panic_of_the_library_is_an_expression_error(raised: type[BaseException], seen: type[BaseException]) -> None:
    """A panic of the library, a BaseException, becomes an ExpressionError; a Timeout stays a Timeout."""

    class Program:
        def execute(self, _: object) -> bool:
            raise raised

    program: Any = Program()
    with pytest.raises(seen):
        run(program, {}, {})


def test_the_library_logs_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """The library writes nothing to stdout or stderr when a function fails, as that may quote the message."""

    def fails(_: object) -> bool:
        raise ValueError("a secret")

    with pytest.raises(ExpressionError, match=r"^a function failed$"):
        run(compile_source('fails("x")'), {}, {"fails": fails})
    assert capfd.readouterr() == ("", "")


def test_the_librarys_command_line_is_not_imported(tmp_path: Path) -> None:
    """Importing router.match does not import the library's command line, which costs 0.3 s and 28 MB."""
    code = "import sys, router.match; print(*{'typer', 'prompt_toolkit', 'rich', 'cel.cli'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.strip() == ""
