"""In which order the parts of a running system stop, and the application that its HTTP server serves."""

from __future__ import annotations

APP = "backend.api.app:create_app_from_environment()"
WORKERS_STAGE, PARENT_STAGE, REDIS_STAGE = 0, 1, 2


def stop_limits(stop_seconds: float) -> tuple[float, float, float]:
    """When workers and beat, the parent's HTTP server, and Redis are killed, in seconds from the stop's begin.

    With the default of 8 s everything is over within 10 s.
    """
    return (stop_seconds + 0.3, stop_seconds + 1.1, stop_seconds + 1.7)
