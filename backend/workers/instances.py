"""Which starts of a node live on this machine: a lock that every process of a start inherits, and that ends with the last."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Instances:
    """The starts of one node, as files named by their instance. The kernel lets a file go when nobody holds it any more."""

    folder: Path
    own: str

    def arrive(self) -> int:
        """Before the first fork: take this start's lock; the descriptor must stay open. Raises `OSError`."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        hidden = self.folder / f".{self.own}"
        descriptor = os.open(hidden, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        # Only a locked file gets its name: somebody who looks must not take it for a departed one.
        hidden.rename(self.folder / self.own)
        return descriptor

    def departed(self) -> list[str]:
        """The instances of which no process is left, not even an orphan."""
        if not self.folder.is_dir():
            return []
        names = [path.name for path in self.folder.iterdir() if path.name[0] != "." and path.name != self.own]
        return sorted(name for name in names if self._is_free(name))

    def others_live(self) -> bool:
        """Whether another start of the node lives: after a deploy the new one, while this one still stops."""
        if not self.folder.is_dir():
            return False
        names = {path.name for path in self.folder.iterdir() if path.name[0] != "."} - {self.own}
        return any(not self._is_free(name) for name in names)

    def lives(self, instance: str) -> bool:
        """Whether a process of that start is left; one that nobody here knows has signed off."""
        return (self.folder / instance).exists() and not self._is_free(instance)

    def _is_free(self, name: str) -> bool:
        try:
            with (self.folder / name).open("rb+") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def forget(self, instance: str) -> None:
        """What it held is given back, or it left nothing behind."""
        (self.folder / instance).unlink(missing_ok=True)
