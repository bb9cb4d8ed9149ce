"""Metrics have a bounded number of series."""

from router import metrics


def test_a_thousand_flows_have_a_series_each() -> None:
    """Failed expressions have a series for each of the first 1000 flows; all further flows share one."""
    for number in range(1500):
        metrics.match_failed(f"FO{number % 1200:032x}")
    (family,) = metrics.MATCH_FAILED.collect()
    counted = {
        sample.labels["flex_flow_sid"]: sample.value for sample in family.samples if sample.name.endswith("_total")
    }
    assert len(counted) == 1001
    assert sum(counted.values()) == 1500
    assert counted["others"] == 200
