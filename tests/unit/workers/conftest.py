"""A worker process's parts over fakes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.workers.fakes import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Four slots and all the time of the world."""
    made = Bench(tmp_path)
    yield made
    made.close()
