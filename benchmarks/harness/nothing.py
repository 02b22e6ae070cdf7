"""A source whose work is nothing, as a plug-in from outside: what is left is what an item costs."""

from __future__ import annotations

from pathlib import Path

from backend.domain.orders import FeedOrder, FetchResult
from backend.domain.ports import HttpClient

KIND = "nothing"


class NothingSource:
    """Finds nothing new, at once."""

    kind = KIND

    def fetch(self, feed: FeedOrder, http: HttpClient) -> FetchResult:  # noqa: ARG002  (the port's signature)
        """Nothing has changed."""
        return FetchResult(not_modified=True)


def install(folder: Path) -> Path:
    """Make the folder a place where Python finds this plug-in's entry point; it goes on `PYTHONPATH`."""
    info = folder / "cascade_bench_nothing-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: cascade-bench-nothing\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[cascade.sources]\n{KIND} = {__name__}:NothingSource\n")
    return folder
