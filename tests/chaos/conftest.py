"""How long a chaos run lasts, and from which seed."""

from __future__ import annotations

import pytest

SEED = 20261126
SECONDS, SOAK_SECONDS = 60.0, 3600.0
QUIET_SECONDS = 240.0


@pytest.fixture
def chaos_seed(request: pytest.FixtureRequest) -> int:
    """The seed of faults and load."""
    given = request.config.getoption("--chaos-seed")
    return SEED if given is None else int(given)


@pytest.fixture
def chaos_seconds(request: pytest.FixtureRequest) -> float:
    """How long things are broken: a minute, or an hour with `--soak`."""
    given = request.config.getoption("--chaos-seconds")
    if given is not None:
        return float(given)
    return SOAK_SECONDS if request.config.getoption("--soak") else SECONDS


@pytest.fixture
def chaos_leases(request: pytest.FixtureRequest) -> str:
    """`short`, `real`, or `auto`: real ones where there is time to see them."""
    return str(request.config.getoption("--chaos-leases"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A chaos run may last as long as it was told to, and then settle."""
    given = config.getoption("--chaos-seconds")
    seconds = float(given) if given is not None else SOAK_SECONDS if config.getoption("--soak") else SECONDS
    for item in items:
        if "chaos_seconds" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(seconds + QUIET_SECONDS + 120))
