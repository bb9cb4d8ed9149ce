"""A request whose body does not come is given up."""

from collections.abc import Callable

import gevent
import pytest

from router.settings import load
from router.web import request
from router.web.request import Refusal, receive
from tests.e2e.world import FORM


class Slow:
    """A connection whose client sends the body later than the router waits."""

    def __init__(self, fails: Callable[[], None] | None = None) -> None:
        self._fails = fails

    def read(self, size: int) -> bytes:
        """Read as gunicorn does, until all is there."""
        if self._fails:
            self._fails()
        gevent.sleep(3600)
        return b"x" * size


def _broken() -> None:
    raise OSError("reset")


@pytest.mark.parametrize("length", ["100", ""], ids=["announced", "in-chunks"])
@pytest.mark.parametrize(("body", "status"), [(Slow(), 408), (Slow(_broken), 400)], ids=["slow", "broken"])
def test_a_body_that_does_not_come_is_given_up(
    monkeypatch: pytest.MonkeyPatch, body: Slow, status: int, length: str
) -> None:
    """A body that does not come in time is 408, and a broken connection 400."""
    monkeypatch.setattr(request, "BODY_SECONDS", 0.05)  # instead of five seconds
    environ = {
        "REQUEST_METHOD": "POST",
        "RAW_URI": "/webhooks/sms",
        "CONTENT_TYPE": FORM,
        "CONTENT_LENGTH": length,
        "wsgi.input": body,
        "wsgi.input_terminated": True,
        "HTTP_HOST": "router.example.com",
    }
    with pytest.raises(Refusal) as refused:
        receive(environ, load({}))
    assert refused.value.status == status
