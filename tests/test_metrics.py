"""What ``/metrics`` says of the requests of this process."""

from prometheus_client.parser import text_string_to_metric_families

from overair.metrics import Metrics, StoreFigures


def test_requests_are_counted_by_bucket() -> None:
    """A bucket counts all that took no longer than its bound; the sum and the count are exact."""
    metrics = Metrics()
    for seconds in (0.0001, 0.001, 0.0011, 7.0, 60.0):
        metrics.device_latency.observe(seconds)
    metrics.count_check_in()
    metrics.count_check_in()
    found = {
        (sample.name, sample.labels.get("endpoint"), sample.labels.get("le")): sample.value
        for family in text_string_to_metric_families(metrics.render(StoreFigures()).decode())
        for sample in family.samples
    }
    name = "overair_request_seconds"
    assert found["overair_check_ins_total", None, None] == 2
    assert found[f"{name}_bucket", "device", "0.0005"] == 1
    assert found[f"{name}_bucket", "device", "0.001"] == 2
    assert found[f"{name}_bucket", "device", "0.0025"] == 3
    assert found[f"{name}_bucket", "device", "10.0"] == 4
    assert found[f"{name}_bucket", "device", "+Inf"] == 5
    assert found[f"{name}_count", "device", None] == 5
    assert found[f"{name}_sum", "device", None] == 67.0022
    assert found[f"{name}_count", "api", None] == 0
