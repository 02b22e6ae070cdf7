"""Who a remote node is, as its parent said it: kept in the data directory, so that it starts while the parent is away."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from backend.domain.wire import Heard

FILE = "node.json"


@dataclass(frozen=True, slots=True)
class Identity:
    """A node at its parent, and which start of it on which machine the parent answered last. Nothing in it is secret."""

    parent_url: str
    node_id: str
    name: str
    slug: str
    capacity: int
    lease_seconds: float
    renew_seconds: float
    protocol: int
    instance: str
    machine: str


def identity_of(parent_url: str, heard: Heard, instance: str, machine: str) -> Identity:
    """What the parent's answer to a beat says."""
    return Identity(
        parent_url,
        heard.node_id,
        heard.name,
        heard.slug,
        heard.capacity,
        heard.lease_seconds,
        heard.renew_seconds,
        heard.protocol,
        instance,
        machine,
    )


def remember(data_dir: Path, identity: Identity) -> None:
    """Keep it; the file is replaced in one step."""
    path = data_dir / FILE
    temporary = path.with_name(f".{FILE}-{os.getpid()}")
    temporary.write_text(json.dumps(asdict(identity)), encoding="utf-8")
    temporary.replace(path)


def recall(data_dir: Path, parent_url: str) -> Identity | None:
    """What was kept of this parent; nothing when there is none, or of another one."""
    found = recall_any(data_dir)
    return found if found is not None and found.parent_url == parent_url else None


def recall_any(data_dir: Path) -> Identity | None:
    """What was kept last, whatever the address of the parent was then: it may be the same one behind TLS by now."""
    try:
        return Identity(**json.loads((data_dir / FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
