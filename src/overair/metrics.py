"""Figures for Prometheus, in its text form at ``/metrics``.

What the store knows (devices by state, engine lag, callbacks waiting) is read when somebody asks;
what happens in this process (check-ins, notifications, answers, their latencies) is counted as it
happens, cheaply enough for the poll.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFigures:
    """What the store knows at this moment."""

    devices: dict[str, int] = field(default_factory=dict)  # of running campaigns, by state
    attempts: dict[str, int] = field(default_factory=dict)  # actions under way, by state
    engine_lag_s: float = 0.0
    callbacks_queued: int = 0
    push_lag_s: float = 0.0
    attaches_waiting: int = 0


class Latencies:
    """How long the requests of one endpoint took, counted by bucket.

    Only the event loop counts here, so two additions do; the library's histogram takes two locks for
    each observation and four times as long.
    """

    __slots__ = ("_counts", "_total_s")

    def __init__(self) -> None:
        self._counts = [0] * (len(_BUCKETS) + 1)
        self._total_s = 0.0

    def observe(self, seconds: float) -> None:
        """A request took so long."""
        self._counts[bisect_left(_BUCKETS, seconds)] += 1
        self._total_s += seconds

    def add_to(self, family: HistogramMetricFamily, endpoint: str) -> None:
        """Write the counts as Prometheus wants them: each bucket with all that are below it."""
        below = 0
        buckets = []
        for bound, count in zip((*map(str, _BUCKETS), "+Inf"), self._counts, strict=True):
            below += count
            buckets.append((bound, below))
        family.add_metric([endpoint], buckets, self._total_s)


class _Counted(Collector):
    """What is counted in plain numbers, put into words when somebody asks."""

    def __init__(self, metrics: "Metrics") -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        metrics = self._metrics
        yield CounterMetricFamily(
            "overair_check_ins", "Check-ins of HTTP devices.", value=metrics.check_ins
        )
        pushes = CounterMetricFamily(
            "overair_pushes",
            "Notifications of devices, by carrier and what became of them.",
            labels=["transport", "result"],
        )
        for (transport, result), count in metrics.pushes.items():
            pushes.add_metric([transport, result], count)
        yield pushes
        latency = HistogramMetricFamily(
            "overair_request_seconds",
            "Time from a request's headers to the end of its answer.",
            labels=["endpoint"],
        )
        metrics.device_latency.add_to(latency, "device")
        metrics.api_latency.add_to(latency, "api")
        yield latency


class Metrics:
    """The figures of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.check_ins = 0
        self.pushes: Counter[tuple[str, str]] = Counter()
        self.device_latency = Latencies()
        self.api_latency = Latencies()
        self.registry.register(_Counted(self))
        self._devices = Gauge(
            "overair_campaign_devices",
            "Devices of campaigns that are not over, by state.",
            ["state"],
            registry=self.registry,
        )
        self._attempts = Gauge(
            "overair_actions", "Actions under way, by state.", ["state"], registry=self.registry
        )
        self._lag = Gauge(
            "overair_engine_lag_seconds",
            "How long the most overdue campaign has been waiting.",
            registry=self.registry,
        )
        self._callbacks = Gauge(
            "overair_callbacks_queued", "Callbacks not delivered yet.", registry=self.registry
        )
        self._push_lag = Gauge(
            "overair_push_lag_seconds",
            "How long the most overdue device has been waiting to be notified or looked at.",
            registry=self.registry,
        )
        self._attaches = Gauge(
            "overair_attaches_waiting",
            "Devices that attached and wait for their turn.",
            registry=self.registry,
        )

    def count_check_in(self) -> None:
        """A device checked in."""
        self.check_ins += 1

    def count_push(self, transport: str, result: str) -> None:
        """A notification was handed to a carrier, or could not be."""
        self.pushes[transport, result] += 1

    def render(self, figures: StoreFigures) -> bytes:
        """Everything, in Prometheus's text form."""
        self._devices.clear()
        for state, count in figures.devices.items():
            self._devices.labels(state).set(count)
        self._attempts.clear()
        for state, count in figures.attempts.items():
            self._attempts.labels(state).set(count)
        self._lag.set(figures.engine_lag_s)
        self._callbacks.set(figures.callbacks_queued)
        self._push_lag.set(figures.push_lag_s)
        self._attaches.set(figures.attaches_waiting)
        return generate_latest(self.registry)
