"""What processes count and time, for Prometheus. Every process of a machine writes files of its own in one shared directory.

Nothing is counted before `share` (tests, commands). A meter must never disturb the work that it counts: when its files
can't be written, the process stops counting and says so once.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import psutil
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Summary,
    generate_latest,
    start_wsgi_server,
    values,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector

log = logging.getLogger(__name__)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# The files are maps of memory: a write into a hole of a full disk would kill the process (SIGBUS), so every block that
# the meters below can need is taken when the file is made.
FILE_BYTES = {
    "counter": 256 * 1024,
    "histogram": 512 * 1024,
    "summary": 64 * 1024,
    "gauge_livesum": 64 * 1024,
}
FOLDED = "folded"
FRESH = ".fresh"
SHORT_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
WORK_SECONDS = (*SHORT_SECONDS, 10.0, 30.0, 60.0, 120.0, 300.0)
REQUEST_SECONDS = (0.01, 0.05, 0.25, 1.0, 5.0, 30.0)


@dataclass(frozen=True, slots=True)
class Meter:
    """One metric: its kind, what it says, its labels; `buckets` of a histogram are in seconds."""

    kind: Literal["counter", "histogram", "summary", "gauge"]
    name: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


PHASES = Meter(
    "histogram",
    "cascade_phase_seconds",
    "Duration of the phases begin, work and settle.",
    ("phase", "kind"),
    WORK_SECONDS,
)
ATTEMPTS = Meter(
    "counter",
    "cascade_attempts_total",
    "Ended attempts at items and deliveries; code is the error code, empty when it went well.",
    ("kind", "outcome", "code"),
)
MOVES = Meter(
    "counter",
    "cascade_moves_total",
    "Changes of state, by what changed and its new state.",
    ("noun", "state"),
)
RECOVERIES = Meter(
    "counter", "cascade_recoveries_total", "Allocations recovered because their lease ran out.", ("kind",)
)
REFUSED = Meter(
    "counter",
    "cascade_settles_refused_total",
    "Late settles that were refused because other work had taken their place.",
    ("kind",),
)
CONNECTIONS = Meter(
    "gauge", "cascade_connections_held", "Database connections in use by the processes of this machine."
)
REQUESTS = Meter(
    "counter", "cascade_http_requests_total", "HTTP requests answered.", ("method", "route", "status")
)
REQUEST_DURATION = Meter(
    "histogram",
    "cascade_http_request_seconds",
    "Duration of HTTP requests, long polls included.",
    ("route",),
    REQUEST_SECONDS,
)
RQ_READS = Meter(
    "summary", "rq_request_processing_seconds", "Time spent collecting RQ data, as rq-exporter names it."
)
METERS = (PHASES, ATTEMPTS, MOVES, RECOVERIES, REFUSED, CONNECTIONS, REQUESTS, REQUEST_DURATION, RQ_READS)

_live: dict[str, Any] = {}


def share(directory: Path) -> None:
    """Count into the directory from now on, in this process and in those forked from it."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
        # The library decides at its import, by that variable, which is too early for settings.
        values.ValueClass = values.MultiProcessValue(_Files(directory).name)  # type: ignore[no-untyped-call]
        registry = CollectorRegistry()
        _live.update({meter.name: _metric(meter, registry) for meter in METERS})
        tidy()
    except OSError as error:
        _give_up(error)


def _metric(meter: Meter, registry: CollectorRegistry) -> Any:
    if meter.kind == "histogram":
        return Histogram(meter.name, meter.help, meter.labels, registry=registry, buckets=meter.buckets)
    if meter.kind == "gauge":
        return Gauge(meter.name, meter.help, meter.labels, registry=registry, multiprocess_mode="livesum")
    made = Summary if meter.kind == "summary" else Counter
    return made(meter.name, meter.help, meter.labels, registry=registry)


class _Files:
    """Makes a process's files, whole, before its first count."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._pid = 0

    def name(self) -> int:
        """The process's id, as the library asks for it before each count."""
        pid = os.getpid()
        if pid != self._pid:
            # What an earlier process of this id held is gone.
            (self._directory / f"gauge_livesum_{pid}.db").unlink(missing_ok=True)
            for kind, size in FILE_BYTES.items():
                _take_blocks(self._directory / f"{kind}_{pid}.db", size)
            self._pid = pid
        return pid


def _take_blocks(path: Path, size: int) -> None:
    # Under its name only when it is whole: an empty file can't be read.
    fresh = path.with_suffix(FRESH)
    if path.exists():
        return
    descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, size)
        fresh.rename(path)
    finally:
        os.close(descriptor)
        fresh.unlink(missing_ok=True)


def _give_up(error: OSError) -> None:
    _live.clear()
    log.warning("this process is not counted in the metrics: their directory can't be written (%s)", error)


def count(meter: Meter, amount: float = 1, **labels: str) -> None:
    """Add to a counter, or to a gauge (also a negative amount)."""
    metric = _live.get(meter.name)
    if metric is None:
        return
    try:
        (metric.labels(**labels) if labels else metric).inc(amount)
    except OSError as error:
        _give_up(error)


def observe(meter: Meter, seconds: float, **labels: str) -> None:
    """Add a duration to a histogram or summary."""
    metric = _live.get(meter.name)
    if metric is None:
        return
    try:
        (metric.labels(**labels) if labels else metric).observe(seconds)
    except OSError as error:
        _give_up(error)


@contextmanager
def timed(meter: Meter, **labels: str) -> Iterator[None]:
    """Add the duration of the block to a histogram, however it ends."""
    started = time.monotonic()
    try:
        yield
    finally:
        observe(meter, time.monotonic() - started, **labels)


@dataclass(frozen=True, slots=True)
class Family:
    """A gauge that is asked for when it is shown, with all of its label values."""

    name: str
    help: str
    labels: tuple[str, ...]
    samples: list[tuple[tuple[str, ...], float]] = field(default_factory=list)

    @classmethod
    def of(cls, name: str, text: str, labels: tuple[str, ...], found: Mapping[Any, float]) -> Family:
        """From a mapping of label values, a tuple of them or one alone, to the value."""
        told = [(key if isinstance(key, tuple) else (key,), float(value)) for key, value in found.items()]
        return cls(name, text, labels, told)

    def add(self, value: float, *labels: str) -> None:
        """One more sample."""
        self.samples.append((labels, value))


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """The families as the library collects them."""

    families: Sequence[Family]

    def collect(self) -> Iterator[Any]:
        for family in self.families:
            metric = GaugeMetricFamily(family.name, family.help, labels=family.labels)
            for labels, value in family.samples:
                metric.add_metric(labels, value)
            yield metric


@dataclass(frozen=True, slots=True, eq=False)
class _Counted:
    """What the processes of the machine counted, the ended ones too."""

    directory: Path

    def collect(self) -> Iterator[Any]:
        if not self.directory.is_dir():
            return
        with (self.directory / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            _try_to_fold(self.directory)
            yield from MultiProcessCollector(None, str(self.directory)).collect()  # type: ignore[no-untyped-call]


def expose(directory: Path, families: Iterable[Family] = ()) -> bytes:
    """Everything that the machine's processes counted, and the families, as Prometheus reads it. Raises `OSError`."""
    registry = CollectorRegistry()
    registry.register(_Asked(list(families)))
    registry.register(_Counted(directory))
    return generate_latest(registry)


def serve(directory: Path, address: str, port: int) -> int:
    """Answer Prometheus in a thread with what the machine's processes count; the port. Raises `OSError` for one that is taken."""
    registry = CollectorRegistry()
    registry.register(_Counted(directory))
    server, _ = start_wsgi_server(port, address, registry)
    return int(server.server_port)


def tidy() -> None:
    """Add up what ended processes counted, unless somebody does just now: nobody may ever ask for the metrics.

    For processes that live long and are few: in each worker it would cost several megabytes of shared memory.
    """
    if not _live:
        return
    directory = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    with suppress(OSError), (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _try_to_fold(directory)


def _try_to_fold(directory: Path) -> None:
    try:
        fold(directory)
    except OSError as error:
        # On a full disk what was counted can still be shown.
        log.debug("the files of ended processes can't be added up now (%s)", error)


def fold(directory: Path) -> None:
    """Add the files of ended processes to one file for all of them; the caller holds the directory's lock.

    Killed between its two steps it counts those processes twice, which a rate shows once.
    """
    dead = [path for path in directory.glob("*_*.*") if _is_dead(path.stem.rpartition("_")[2])]
    for kind in ("counter", "histogram", "summary"):
        files = [path for path in dead if path.name.startswith(kind) and path.suffix == ".db"]
        if files:
            _fold(directory / f"{kind}_{FOLDED}.db", files)
    for path in dead:
        path.unlink(missing_ok=True)


def _is_dead(pid: str) -> bool:
    return pid.isdecimal() and not psutil.pid_exists(int(pid))


def _fold(target: Path, files: list[Path]) -> None:
    sums: dict[str, float] = {}
    for path in [target, *files]:
        if path.exists() and path.stat().st_size:
            for key, value, *_ in MmapedDict.read_all_values_from_file(str(path)):  # type: ignore[no-untyped-call]
                sums[key] = sums.get(key, 0.0) + value
    whole = target.with_suffix(".sum")
    whole.unlink(missing_ok=True)
    _take_blocks(whole, FILE_BYTES[target.name.partition("_")[0]])
    folded = MmapedDict(str(whole))  # type: ignore[no-untyped-call]
    for key, value in sums.items():
        folded.write_value(key, value, 0.0)  # type: ignore[no-untyped-call]
    folded.close()  # type: ignore[no-untyped-call]
    whole.rename(target)
