"""What a command does beside the child that runs on the same data directory: in the name of its start, with its journal and its Redis."""

from __future__ import annotations

from backend import bootstrap
from backend.domain import wire
from backend.domain.condition import Condition
from backend.domain.wire import Heard, PresenceBeat
from backend.workers.claimer import Claimer, Scope
from backend.workers.contact import Contact
from backend.workers.local_queues import LocalQueues
from backend.workers.parent import Call, Parent, understood
from backend.workers.remote import UPDATE, Remote
from backend.workers.syncing import Pulled, Syncer

BY_HAND = "by hand"


def pull(parent: Parent, remote: Remote) -> dict[str, Pulled]:
    """Pull feeds and message tasks now. Raises `CascadeError`."""
    return Syncer(parent, remote.copy(), remote.settings.sync_seconds).sync()


def claim_beside(remote: Remote, parent: Parent, running: Condition) -> int:
    """Beat and claim once for the running child; how many pieces its queues got. Raises `CascadeError`."""
    contact = Contact()
    said = parent.call(Call("POST", "/heartbeat", wire.plain(PresenceBeat(running.instance)), patience=0.0))
    heard = understood(Heard, said.data)
    contact.answered(heard)
    journal = remote.journal()
    work_seconds = bootstrap.build_limits(remote.settings).work_seconds
    claimer = Claimer(
        parent=parent,
        contact=contact,
        journal=journal,
        outbox=remote.outbox(running.node_id),
        instance=running.instance,
        capabilities=remote.announced(),
        # A claim id of its own: the running child's may be on its way.
        scope=Scope(BY_HAND, UPDATE, heard.capacity),
        offer=LocalQueues(bootstrap.build_redis(remote.settings), journal, work_seconds).offer,
    )
    return len(claimer.claim())
