"""A child's credentials as they stand now: changed ones count without a restart."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from backend.domain.errors import ConfigurationError
from backend.workers.parent import Pair

log = logging.getLogger(__name__)


@dataclass(slots=True)
class CurrentPair:
    """Reads the pair again when one of its files has changed. Files that can't be used are said once, and change nothing."""

    read: Callable[[], Pair]
    files: tuple[Path, ...]
    seen: tuple[tuple[int, int, int], ...] = ()
    pair: Pair | None = field(default=None, repr=False)

    def __call__(self) -> Pair | None:
        """The pair."""
        stands = tuple(_stamp(path) for path in self.files)
        if self.pair is None or stands != self.seen:
            self.seen = stands
            self._read()
        return self.pair

    def _read(self) -> None:
        try:
            fresh = self.read()
        except ConfigurationError as error:
            log.error("the changed settings can't be used, the former credentials stay: %s", error)  # noqa: TRY400
            return
        if self.pair is not None and fresh != self.pair:
            log.info("the credentials have changed; key %s is used from now on", fresh.api_key)
        self.pair = fresh


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_size, found.st_ino)
