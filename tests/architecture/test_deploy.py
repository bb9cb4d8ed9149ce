"""The files of deploy/ match the product: names of settings, metrics and programs, times and limits."""

import re
import shlex
from typing import Final

from router.settings import Settings
from router.settings.documentation import table
from router.web.request import BODY_MOST
from tests.architecture.readme import ROOT, written

DEPLOY: Final = ROOT / "deploy"
# Where the guide installs the package's programs.
PROGRAMS: Final = "/opt/router/bin/"


def text(name: str) -> str:
    """Read a file of deploy/."""
    return (DEPLOY / name).read_text(encoding="utf-8")


def unit() -> list[tuple[str, str]]:
    """Return the directives of the systemd unit, in order; a name may be there several times."""
    lines = (line.partition("=") for line in text("router.service").splitlines() if re.match(r"\w+=", line))
    return [(name, value) for name, _, value in lines]


def of_unit(name: str) -> str:
    """Return the value of a directive that is there once."""
    [value] = [value for each, value in unit() if each == name]
    return value


def settings() -> set[str]:
    """Return the settings that the environment may hold."""
    return {row.variable for row in table() if row.variable}


def test_the_unit_starts_what_is_installed() -> None:
    """The unit's programs are those of the package and of gunicorn, and its settings exist."""
    started = [shlex.split(value)[0] for name, value in unit() if name in {"ExecStart", "ExecReload"}]
    assert set(started) <= {f"{PROGRAMS}gunicorn", f"{PROGRAMS}router"}
    assert {value.partition("=")[0] for name, value in unit() if name == "Environment"} <= settings()
    assert "gunicorn -c python:router.process.gunicorn_conf wsgi:app" in of_unit("ExecStart")


def test_the_stop_timeouts_exceed_gunicorns() -> None:
    """Unit and guide allow more than gunicorn's graceful timeout."""
    guide = (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8")
    [container] = re.findall(r"--stop-timeout (\d+)", guide)
    [pod] = re.findall(r"`terminationGracePeriodSeconds` \| (\d+)", guide)
    assert all(int(seconds) > Settings().stop_seconds for seconds in (of_unit("TimeoutStopSec"), container, pod))


def test_nginx_forwards_the_largest_requests_that_the_router_accepts() -> None:
    """Nginx's limits are at least the largest body and the longest query that the router accepts."""
    assert f"client_max_body_size {BODY_MOST // 1024}k;" in text("nginx.conf")
    assert "large_client_header_buffers 8 64k;" in text("nginx.conf")


def test_the_image_is_made_of_files_that_exist() -> None:
    """The files that the Dockerfile copies exist and are sent to the builder; its settings and programs exist."""
    dockerfile = text("Dockerfile")
    copied = [
        name for names in re.findall(r"^COPY (?!--from)(.*) \S+$", dockerfile, re.MULTILINE) for name in names.split()
    ]
    sent = {line[1:] for line in text("Dockerfile.dockerignore").splitlines() if line.startswith("!")}
    assert (set(copied), all((ROOT / name).exists() for name in copied)) == (sent, True)
    assert set(re.findall(r"\b(ROUTER_\w+)=", dockerfile)) <= settings()
    assert f"ENV PATH={PROGRAMS.rstrip('/')}:$PATH" in dockerfile


def test_the_command_of_a_server_has_the_services_settings() -> None:
    """The wrapper of `router` uses the unit's user, settings and program, and the guide installs it."""
    wrapper = text("router.sh")
    [(name, value)] = [value.split("=", 1) for name, value in unit() if name == "Environment"]
    assert f'exec runuser -u {of_unit("User")} -- env {name}={value} {PROGRAMS}router "$@"' in wrapper
    guide = (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8")
    assert "install -m 0755 deploy/router.sh /usr/local/bin/router" in guide


def test_alerts_use_existing_metrics() -> None:
    """Each alert's expression names only metrics and labels of the router, and each alert has a summary."""
    rows = [[cell.strip(" `") for cell in line.split("|")[1:5]] for line in written("metrics").splitlines()[2:]]
    known = {name for name, *_ in rows} | {f"{name}_bucket" for name, kind, *_ in rows if kind == "histogram"}
    labels = {label for *_, names, _ in rows for label in re.findall(r"\w+", names)} | {"le"}
    alerts = text("alerts.yml").split("- alert: ")[1:]
    assert len(alerts) > 10
    for alert in alerts:
        [expression] = re.findall(r"expr: (.*)", alert)
        asked = set(re.findall(r"router_\w+", expression))
        assert asked, alert
        assert asked <= known, alert
        grouped = {each for names in re.findall(r"by \(([^)]*)\)", expression) for each in re.findall(r"\w+", names)}
        assert grouped <= labels, alert
        assert re.search(r"^ +summary: \S", alert, re.MULTILINE), alert


def test_each_alert_is_explained() -> None:
    """docs/operations.md has a row for each alert, and no other: its metric, and what to do."""
    alerts = {
        name: set(re.findall(r"router_\w+?(?=_bucket|\W)", expression))
        for name, expression in re.findall(r"- alert: (\w+)\n(?: +#.*\n)*\s+expr: (.*)", text("alerts.yml"))
    }
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(Router\w+)` \| (.*?) \| (.*) \|$", page, re.MULTILINE)
    assert len(alerts) == text("alerts.yml").count("- alert:")
    assert {name: set(re.findall(r"router_\w+", when)) for name, when, _ in rows} == alerts
    assert all("`" in what for *_, what in rows)
