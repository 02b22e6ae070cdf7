"""Outcomes that are too large for one request: staged in chunks under their execution, applied as one."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from backend.domain.errors import Conflict, TooManyRequests
from backend.domain.ports import Lease
from backend.domain.wire import digest_of
from backend.store.inserting import insert_missing
from backend.store.tables import StagedChunk, core

CHUNKS = core(StagedChunk)
NODE_BYTES = 256 * 1024 * 1024
KEEP_SECONDS = 86_400.0
"""After so long nobody settles them any more; who does is asked to send them again."""
MEGABYTE = 1024 * 1024
TRY_AGAIN_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Chunk:
    """One part of an execution's outcome; the first one has number 0."""

    lease: Lease
    number: int
    content: bytes


def stage(session: Session, node_id: str, chunk: Chunk) -> None:
    """Keep a chunk; the same one again changes nothing, another one under its number replaces it.

    Raises `TooManyRequests` when the node has too much here that it does not settle.
    """
    execution = chunk.lease.execution
    key = f"{execution}.{chunk.number}"
    others = (CHUNKS.c.node_id == node_id, CHUNKS.c.id != key)
    held = session.scalar(select(func.coalesce(func.sum(CHUNKS.c.size), 0)).where(*others))
    if (held or 0) + len(chunk.content) > NODE_BYTES:
        raise TooManyRequests(
            "too_much_staged", retry_after=TRY_AGAIN_SECONDS, megabytes=(held or 0) // MEGABYTE
        )
    changed = (CHUNKS.c.id == key, CHUNKS.c.node_id == node_id, CHUNKS.c.content != chunk.content)
    session.execute(delete(CHUNKS).where(*changed))
    row = {
        "id": key,
        "node_id": node_id,
        "allocation_id": chunk.lease.allocation_id,
        "execution": execution,
        "number": chunk.number,
        "size": len(chunk.content),
        "content": chunk.content,
    }
    insert_missing(session, StagedChunk, [row])


def assemble(session: Session, node_id: str, lease: Lease, count: int, sha256: str) -> bytes:
    """All chunks of the outcome, one after the other. Raises `Conflict` when they are not all here, or not as they were sent."""
    rows = session.execute(
        select(CHUNKS.c.number, CHUNKS.c.content)
        .where(
            CHUNKS.c.execution == lease.execution,
            CHUNKS.c.node_id == node_id,
            CHUNKS.c.allocation_id == lease.allocation_id,
            CHUNKS.c.number < count,
        )
        .order_by(CHUNKS.c.number)
    ).all()
    if len(rows) < count:
        raise Conflict("chunks_missing", of=count, missing=count - len(rows))
    packed = b"".join(row.content for row in rows)
    if digest_of(packed) != sha256.lower():
        raise Conflict("chunks_broken")
    return packed


def drop(session: Session, node_id: str, execution: str) -> None:
    """Forget the chunks of the node's execution: its outcome was applied, or refused."""
    session.execute(delete(CHUNKS).where(CHUNKS.c.execution == execution, CHUNKS.c.node_id == node_id))
