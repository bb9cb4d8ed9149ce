"""A person at the console without a browser: keeps the cookie and sends the headers of a browser."""

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from flask import Flask
from flask.testing import FlaskClient

from tests.e2e.service import ACCOUNT, BASE
from tests.e2e.world import Reply, World

PASSWORD = "the admin's long password"
READING = "only to read with this"
CONSOLE = f'admin_password = "{PASSWORD}"\nviewer_password = "{READING}"\n'
HERE = f"/console/{ACCOUNT}"
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


@dataclass
class Person:
    """One browser profile: its cookie, and the headers of each request."""

    world: World
    cookie: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    process: int = 0

    def get(self, path: str, **headers: str) -> Reply:
        """Open a page."""
        return self._send("GET", path, b"", headers)

    def post(self, path: str, form: Mapping[str, str | list[str]] | None = None, **headers: str) -> Reply:
        """Send a form as a browser does, with the header of a same-origin page; a list is a name given twice."""
        given = {"Sec-Fetch-Site": "same-origin"} if "Sec_Fetch_Site" not in headers and not self.headers else {}
        return self._send("POST", path, urlencode(form or {}, doseq=True).encode(), given | headers)

    def follow(self, reply: Reply) -> Reply:
        """Open the page that an action redirects to."""
        assert reply.status == 303, (reply.status, reply.body)
        parts = urlsplit(reply.headers["Location"])
        return self.get(parts.path + (f"?{parts.query}" if parts.query else ""))

    def sign_in(self, password: str = PASSWORD, **form: str) -> Reply:
        """Sign in."""
        return self.post("/console/sign-in", {"password": password, **form})

    def _send(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        sent = {name: value for name, value in (self.headers | dict(headers)).items() if value}
        if self.cookie:
            sent["Cookie"] = self.cookie
        reply = self.world.send(method, path, body, sent, process=self.process)
        if given := reply.headers.get("Set-Cookie"):
            name, _, value = given.partition(";")[0].partition("=")
            self.cookie = f"{name}={value}" if value else ""
        return reply


def signed_in(world: World, password: str = PASSWORD) -> Person:
    """Return a person who has just signed in."""
    person = Person(world)
    reply = person.sign_in(password)
    assert reply.status == 303, reply.body
    return person


def signed_in_browser(app: Flask) -> FlaskClient:
    """Return a test client of an application that has signed in as admin."""
    browser = app.test_client()
    signed = browser.post("/console/sign-in", base_url=BASE, data={"password": PASSWORD}, headers=SAME_ORIGIN)
    assert signed.status_code == 303, signed.text
    return browser


def text_of(reply: Reply) -> str:
    """Return a page's text without its markup."""
    assert reply.status == 200, (reply.status, reply.body)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", reply.body.decode())).split())


def form_of(reply: Reply) -> dict[str, str]:
    """Return the fields that a browser would send for a page's last form."""
    form = re.findall(r'<form[^>]* method="post".*?</form>', reply.body.decode(), re.DOTALL)[-1]
    values: dict[str, str] = {}
    for tag, attributes in re.findall(r"<(input|textarea|select)\b([^>]*)>", form):
        given = {name: html.unescape(value) for name, value in re.findall(r'([\w-]+)="([^"]*)"', attributes)}
        if tag == "input" and (given.get("type") != "checkbox" or " checked" in attributes):
            values[given["name"]] = given.get("value", "")
    for name, options in re.findall(r'<select [^>]*name="([^"]+)"[^>]*>(.*?)</select>', form, re.DOTALL):
        chosen = re.search(r'value="([^"]*)" selected', options) or re.search(r'value="([^"]*)"', options)
        values[name] = chosen[1] if chosen else ""
    for name, text in re.findall(r'<textarea [^>]*name="([^"]+)"[^>]*>\n(.*?)</textarea>', form, re.DOTALL):
        values[name] = html.unescape(text)
    return values
