"""Scrapes of /metrics need no password, so what they cost has a limit."""

from router.web.health import SCRAPE_PART, SCRAPE_RESERVE, Scrapes


def test_scrapes_use_a_part_of_a_process_and_no_more() -> None:
    """A thousand scrapes in ten seconds, 0.3 s each, cost the reserve and a tenth of the time."""
    used = now = 0.0

    def make() -> bytes:
        nonlocal used
        used += 0.3
        return f"{now:.2f}".encode()

    scrapes = Scrapes(make, lambda: (used, now))
    for _ in range(1000):
        now += 0.01
        scrapes.text()
    assert used <= SCRAPE_RESERVE + SCRAPE_PART * now + 0.3
    now += 10
    assert scrapes.text() == f"{now:.2f}".encode()


def test_a_prometheus_gets_what_is_true_now() -> None:
    """One scrape each second is never answered with old text, however long it takes within a tenth of a second."""
    used = now = 0.0

    def make() -> bytes:
        nonlocal used
        used += 0.1
        return f"{now}".encode()

    scrapes = Scrapes(make, lambda: (used, now))
    for _ in range(300):
        now += 1
        assert scrapes.text() == f"{now}".encode()
