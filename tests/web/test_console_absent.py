from pathlib import Path

from tests.valkey import ValkeyServer
from tests.web.rest import BASE, ONE, rest_over


def test_without_an_admin_password_the_console_is_404(valkey: ValkeyServer, tmp_path: Path) -> None:
    """Without ROUTER_ADMIN_PASSWORD every path below /console/ is 404; sign-in is, too, and counts no attempt."""
    with rest_over(valkey, tmp_path) as rest:
        browser = rest.app.test_client()
        for path in ("", "sign-in", f"{ONE}/", "static/console.css"):
            assert browser.get(f"/console/{path}", base_url=BASE).status_code == 404
        headers = {"Sec-Fetch-Site": "same-origin"}
        assert (
            browser.post("/console/sign-in", base_url=BASE, data={"password": ""}, headers=headers).status_code == 404
        )
        assert not [key for key in rest.written() if key.startswith(b"attempts:")]
