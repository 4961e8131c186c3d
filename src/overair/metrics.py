"""Figures for Prometheus, in its text form at ``/metrics``.

What the store knows (devices by state, engine lag, callbacks waiting) is read when somebody asks;
what happens in this process (check-ins, answers, their latencies) is counted as it happens, cheaply
enough for the poll.
"""

from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFigures:
    """What the store knows at this moment."""

    devices: dict[str, int] = field(default_factory=dict)  # of running campaigns, by state
    attempts: dict[str, int] = field(default_factory=dict)  # actions under way, by state
    engine_lag_s: float = 0.0
    callbacks_queued: int = 0


class Metrics:
    """The figures of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.check_ins = Counter(
            "overair_check_ins_total", "Check-ins of HTTP devices.", registry=self.registry
        )
        self._latency = Histogram(
            "overair_request_seconds",
            "Time from a request's headers to the end of its answer.",
            ["endpoint"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.device_latency = self._latency.labels("device")
        self.api_latency = self._latency.labels("api")
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
        return generate_latest(self.registry)
