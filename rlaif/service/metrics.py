"""Figures of the running service for Prometheus (https://prometheus.io/docs/practices/naming/).

Owns every metric's name, so that a rename is one edit, and its registry. Leaves the figures to the parts
that have them: they are read when somebody asks.
"""

from __future__ import annotations

import time
from collections import Counter as Counts
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds; 0.3 is what a read may take under load."""
GAUGES: Final = {
    "rlaif_jobs": ("Jobs by state.", "state"),
    "rlaif_calls_in_flight": ("Calls sent to providers and not answered yet.", ""),
    "rlaif_journal_bytes": ("Size of the journal.", ""),
    "rlaif_store_bytes": ("Size of the store.", ""),
    "rlaif_watchers": ("Open streams of events.", ""),
}
COUNTERS: Final = {
    "rlaif_calls": ("Calls by what became of them, since the service started.", "outcome"),
    "rlaif_spent_usd": ("Money settled for calls of all jobs, in US dollars.", ""),
}
"""Name, meaning and label of every figure that is read; counters get ``_total`` in the reply."""

OUTCOMES: Final = ("sent", "cached", "retries", "rate_limited")
"""What becomes of a call, as a job's progress counts it."""

Reading = Mapping[str, float | Mapping[str, float]]
"""Value by metric name, or by metric name and label."""


@dataclass(slots=True)
class Calls:
    """Sums of the calls of all runs since the service started; a run's own count begins at nothing."""

    _ended: Counts[str] = field(default_factory=Counts)
    _last: dict[str, tuple[object, Mapping[str, int]]] = field(default_factory=dict)

    def add(self, job_id: str, run: object, counts: Mapping[str, int]) -> None:
        """Take in what a job's run has counted so far.

        Args:
            job_id: the job.
            run: something that is another object for each run.
            counts: calls by outcome.
        """
        before = self._last.get(job_id)
        if before is not None and before[0] is not run:
            self._ended.update(before[1])
        self._last[job_id] = run, counts

    def total(self) -> Mapping[str, float]:
        """All of it, by outcome."""
        found = Counts(dict.fromkeys(OUTCOMES, 0))
        found.update(self._ended)
        for _, counts in self._last.values():
            found.update(counts)
        return found


@dataclass(slots=True, eq=False)
class Figures(Collector):
    """Figures read from the parts of the service at the moment of asking."""

    values: Reading = field(default_factory=dict)

    def collect(self) -> Iterable[Metric]:
        """What was read last."""
        for name, value in self.values.items():
            kind = GaugeMetricFamily if name in GAUGES else CounterMetricFamily
            help_text, label = GAUGES.get(name) or COUNTERS[name]
            family = kind(name, help_text, labels=[label] if label else [])
            rows = value.items() if isinstance(value, Mapping) else [("", value)]
            for of, one in rows:
                family.add_metric([of] if label else [], one)
            yield family


class Metrics:
    """The metrics of one service, apart from those of any other in the process."""

    def __init__(self) -> None:
        self.calls = Calls()
        self._registry = CollectorRegistry()
        self._figures = Figures()
        self._registry.register(self._figures)
        self._requests = Counter(
            "rlaif_requests",
            "Requests answered.",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "rlaif_request_seconds",
            "Time until a request was answered; streams of events are left out.",
            ["method", "route"],
            buckets=BUCKETS,
            registry=self._registry,
        )

    def saw(self, method: str, route: str, status: int, seconds: float | None) -> None:
        """Count one request.

        Args:
            method: its HTTP method.
            route: the route's path with its slots, never what stood in them.
            status: of the reply.
            seconds: time it took; None for a stream.
        """
        self._requests.labels(method, route, str(status)).inc()
        if seconds is not None:
            self._seconds.labels(method, route).observe(seconds)

    def exposition(self, values: Reading) -> bytes:
        """Everything, with these figures, in the text format Prometheus reads."""
        self._figures.values = values
        return generate_latest(self._registry)


_Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]

METRICS: Final = web.AppKey("metrics", Metrics)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})


@web.middleware
async def measured(request: web.Request, handler: _Answer) -> web.StreamResponse:
    """Count a request and its time, whatever becomes of it."""
    began = time.perf_counter()
    response = await handler(request)
    resource = request.match_info.route.resource
    route = "unmatched" if resource is None else resource.canonical
    stream = response.content_type == "text/event-stream"
    method = request.method if request.method in _METHODS else "other"
    request.app[METRICS].saw(method, route, response.status, None if stream else time.perf_counter() - began)
    return response
