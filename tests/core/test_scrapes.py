"""/metrics needs no password, so the processor time that scrapes may use is limited."""

from router.web.health import SCRAPE_PART, SCRAPE_RESERVE, Scrapes


def test_many_scrapes_use_a_bounded_share_of_the_time() -> None:
    """A thousand scrapes of 0.3 s in ten seconds use at most the reserve and SCRAPE_PART of the time."""
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


def test_one_scrape_a_second_is_always_fresh() -> None:
    """One scrape per second that takes 0.1 s always gets a new text."""
    used = now = 0.0

    def make() -> bytes:
        nonlocal used
        used += 0.1
        return f"{now}".encode()

    scrapes = Scrapes(make, lambda: (used, now))
    for _ in range(300):
        now += 1
        assert scrapes.text() == f"{now}".encode()
