from tests.e2e.world import World
from tests.web.console import HERE


def test_no_password_no_console(world: World) -> None:
    """Without ROUTER_ADMIN_PASSWORD there is nothing at /console/, and nothing to guess."""
    for path in ("/console/", "/console/sign-in", f"{HERE}/", "/console/static/console.css"):
        assert world.send("GET", path, b"", {}).status == 404
    assert world.send("POST", "/console/sign-in", b"password=", {"Sec-Fetch-Site": "same-origin"}).status == 404
