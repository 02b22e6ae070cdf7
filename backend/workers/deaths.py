"""Deaths of worker processes: their causes in words, and the pipe through which the supervisor tells the presence."""

from __future__ import annotations

import json
import logging
import os
import signal
from dataclasses import asdict, dataclass

log = logging.getLogger(__name__)

LIKELY = {
    signal.SIGKILL: "most likely the machine or its group was out of memory, or somebody killed it",
    signal.SIGSEGV: "a crash in C code; the stacks of its threads are above",
    signal.SIGBUS: "a crash in C code; the stacks of its threads are above",
    signal.SIGABRT: "a crash in C code; the stacks of its threads are above",
    signal.SIGFPE: "a crash in C code; the stacks of its threads are above",
    signal.SIGILL: "a crash in C code; the stacks of its threads are above",
    signal.SIGXCPU: "it met a limit of its group",
}


def cause_of(code: int) -> str:
    """An exit code (negative: the signal's number) as people say it, with its likely cause."""
    if code >= 0:
        return f"exit code {code}"
    try:
        name = signal.Signals(-code)
    except ValueError:
        return f"signal {-code}"
    likely = f": {LIKELY[name]}" if name in LIKELY else ""
    return f"signal {-code} ({name.name}{likely})"


@dataclass(frozen=True, slots=True)
class Death:
    """The end of one worker process. `blames`: what it held may be what killed it."""

    worker: str
    cause: str
    blames: bool


class DeathPipe:
    """From the supervisor to the presence, whichever of its starts reads it. A full pipe costs a lease, never a wait."""

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._reading, False)
        os.set_blocking(self._writing, False)
        self._rest = b""

    def tell(self, death: Death) -> None:
        """Pass it on."""
        try:
            os.write(self._writing, json.dumps(asdict(death)).encode() + b"\n")
        except BlockingIOError:
            log.warning(
                "nobody listens to the deaths of workers; what %s held waits for its lease", death.worker
            )

    def heard(self) -> list[Death]:
        """What was told since."""
        while chunk := self._read():
            self._rest += chunk
        *lines, self._rest = self._rest.split(b"\n")
        return [Death(**json.loads(line)) for line in lines]

    def _read(self) -> bytes:
        try:
            return os.read(self._reading, 65536)
        except BlockingIOError:
            return b""
