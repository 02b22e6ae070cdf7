"""Signs of life: a page that a worker process stamps and its supervisor reads, and who it is."""

from __future__ import annotations

import faulthandler
import mmap
import struct
import threading
from dataclasses import dataclass

from backend.domain.identifiers import new_id

STAMP_SECONDS = 0.5
LAST_RESORT_SECONDS = 600.0
PAGE_BYTES = 64
# Behind eight bytes each for the stamps and the farewell.
HORSE = slice(16, PAGE_BYTES)


@dataclass(frozen=True, slots=True)
class Start:
    """One start of a worker process: of which start of its node, and its own id."""

    instance: str
    worker: str


class Vitals:
    """Of one worker process at a time; shared over fork, renewed before each.

    A process that ends without a farewell has died, whatever its exit code: a plug-in may call `os._exit(0)`.
    A worker that forks a horse for each job notes its id here, so that the supervisor knows who ended with it.
    """

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, PAGE_BYTES)
        self.worker = ""

    def renew(self) -> None:
        """Before a fork: another process, with an id of its own."""
        self.worker = new_id()
        self._page[:] = bytes(PAGE_BYTES)

    def stamp(self) -> None:
        """In the worker: it moves."""
        self._page[:8] = struct.pack("q", self.stamps() + 1)

    def stamps(self) -> int:
        """How often it has been stamped."""
        return int(struct.unpack("q", self._page[:8])[0])

    def say_farewell(self) -> None:
        """In the worker: it ends on purpose, and holds nothing."""
        self._page[8:16] = struct.pack("q", 1)

    def said_farewell(self) -> bool:
        """Whether its end was on purpose."""
        return any(self._page[8:16])

    def note_horse(self, worker: str) -> None:
        """In a worker that forks: the process that holds its work from now on; empty for none."""
        self._page[HORSE] = worker.encode().ljust(HORSE.stop - HORSE.start, b"\0")

    def horse(self) -> str:
        """The id of the process that held its work; empty for none."""
        return bytes(self._page[HORSE]).rstrip(b"\0").decode()

    def keep_stamping(self, *, forks: bool = False) -> None:
        """Stamp from a thread of this process: it stands still when a plug-in never gives the interpreter back.

        A crash writes the Python stacks of all threads to stderr. Should no supervisor be left to end a process that stands
        still, a timer in C does after ten minutes; not in one that `forks`, whose children could never set their own.
        """
        faulthandler.enable()
        threading.Thread(target=self._run, args=(forks,), name="vitals", daemon=True).start()

    def _run(self, forks: bool) -> None:
        pause = threading.Event()
        while True:
            self.stamp()
            if self.stamps() % 20 == 1 and not forks:
                faulthandler.dump_traceback_later(LAST_RESORT_SECONDS, exit=True)
            pause.wait(STAMP_SECONDS)
