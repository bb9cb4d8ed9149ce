"""A website that embeds the chat, on another origin than the router's and with a strict policy."""

import html
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import urlsplit

# Exactly the policy that docs/web-chat.md requires of a website.
POLICY: Final = "default-src 'none'; script-src {router}; frame-src {router}"
PAGE: Final = """<!doctype html>
<html lang="{lang}" dir="{dir}">
<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Shop</title>
<main><h1>The shop</h1><button>Buy</button></main>
<script async src="{router}/chat/widget.js" {attributes}></script>
</html>
"""


class Shop:
    """The website; `page` adds a page and returns its URL."""

    def __init__(self, router: str, port: int) -> None:
        self.router = router
        # An origin of the router's site, and one of another site. On the latter, Chromium's private windows and
        # Playwright's let a frame store nothing.
        self.origin, self.foreign = (f"http://{host}:{port}" for host in ("127.0.0.1", "localhost"))
        self.pages: dict[str, str] = {}

    def page(self, address: str, *, lang: str = "en", foreign: bool = False, **attributes: str) -> str:
        """Add a page that embeds an address's chat; attributes as `data_lang="es"`."""
        given = ({"data-address": address} if address else {}) | {
            name.replace("_", "-"): value for name, value in attributes.items()
        }
        written = " ".join(f'{name}="{html.escape(value)}"' for name, value in given.items())
        path = f"/{len(self.pages)}"
        direction = "rtl" if lang in ("ar", "fa", "he") else "ltr"
        self.pages[path] = PAGE.format(lang=lang, dir=direction, router=self.router, attributes=written)
        return (self.foreign if foreign else self.origin) + path


@contextmanager
def serving(router: str) -> Iterator[Shop]:
    """Serve the website."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = shop.pages.get(urlsplit(self.path).path, "").encode()
            self.send_response(200 if page else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Security-Policy", POLICY.format(router=router))
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    shop = Shop(router, server.server_port)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield shop
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
