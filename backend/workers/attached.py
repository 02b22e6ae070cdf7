"""An attached node: its processes reach the parent's database and Redis themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from redis.exceptions import RedisError
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from backend import bootstrap
from backend.dispatch import queues
from backend.dispatch.broker import fault_of
from backend.domain.errors import ConfigurationError
from backend.store import nodes
from backend.store.allocations import Taker, pending_in
from backend.store.schema import require_current
from backend.store.session import read, transact
from backend.workers.demand import watch_demand
from backend.workers.estates import Heir, SqlKeeper
from backend.workers.flow_mark import FlowMark
from backend.workers.instances import Instances
from backend.workers.ledger import SqlLedger
from backend.workers.outbox import Outbox
from backend.workers.presence import Presence, SqlTeller
from backend.workers.redis_watch import RedisWatch
from backend.workers.signals import signals_for
from backend.workers.transport import Place, PresenceParts, WorkerParts
from backend.workers.vitals import Start

if TYPE_CHECKING:
    from config import Settings


@dataclass(frozen=True, slots=True)
class Attached:
    """Implements `Transport`. No name means the parent's own workers; no queues, all of the node's own."""

    settings: Settings
    node_name: str | None
    names: Sequence[str] = ()

    @property
    def told_name(self) -> str:
        """See `Transport.told_name`."""
        return self.node_name or "workers"

    def look_around(self, _instance: str = "") -> Place:
        """Check Redis and the database, find or make the node, and check the queue names. Raises `CascadeError`."""
        redis = bootstrap.build_redis(self.settings, says=False)
        try:
            redis.ping()
        except RedisError as error:
            fault = fault_of(error)
            raise ConfigurationError(fault.code, detail=fault.detail) from error
        engine = bootstrap.build_engine(self.settings, pooled=False)
        require_current(engine)
        bootstrap.build_cipher(self.settings)
        return transact(engine, self._place)

    def _place(self, session: Session) -> Place:
        node_name, settings = self.node_name, self.settings
        node = nodes.ensure_attached(session, node_name) if node_name else nodes.ensure_parent(session)
        session.flush()
        existing = queues.existing_queues(nodes.all_slugs(session))
        steady = queues.node_queue(node.slug) if node.node_type else queues.DEFAULT_QUEUE
        own = (steady, queues.publish_queue(node.slug)) if node.node_type else (steady,)
        named = tuple(dict.fromkeys(queues.check_queue_name(name, existing) for name in self.names))
        for name in named:
            # Work is begun by the node that it was planned for: another node's workers would only ever be refused.
            if name not in own:
                raise ConfigurationError("foreign_queue", name=name, node=node.name, own=" ".join(own))
        wanted = named or (own if settings.publish_workers else own[:1])
        return Place(
            node.id, node.name, node.max_capacity, wanted, settings.lease_seconds, settings.renew_seconds
        )

    def worker(self, place: Place, start: Start) -> WorkerParts:
        """See `Transport.worker`."""
        engine = bootstrap.build_engine(self.settings, pooled=False)
        ledger = build_ledger(self.settings, engine, place.node_id, start)
        return WorkerParts(ledger, self._outbox(place), FlowMark(engine), ledger.prove)

    def presence(self, parts: PresenceParts) -> int:
        """See `Transport.presence`."""
        settings, place = self.settings, parts.place
        engine = bootstrap.build_engine(settings, pooled=False)
        ledger = build_ledger(settings, engine, place.node_id, Start(parts.instance, ""))
        heir = self._heir(engine, ledger, parts)
        watch_demand(
            settings.redis_url,
            place.publish_queue,
            parts.demand,
            lambda: read(engine, lambda session: pending_in(session, place.publish_queue), attempts=1),
        )
        watched = bootstrap.build_redis(settings, retries=0, rest_seconds=0.0, says=False)
        return Presence(
            teller=self._teller(engine, parts),
            ledger=ledger,
            outbox=self._outbox(place),
            workers=parts.workers,
            inherit=heir.settle_estates,
            others_live=heir.instances.others_live,
            redis=RedisWatch(engine, watched, place.node_id, place.name),
        ).serve()

    def _teller(self, engine: Engine, parts: PresenceParts) -> SqlTeller:
        place, plugins = parts.place, parts.plugins
        publishers = tuple(plugins.publishers) if place.publish_queue else None
        return SqlTeller(
            engine,
            place.node_id,
            parts.instance,
            version("cascade-workers"),
            sources=tuple(plugins.sources) if place.updates else None,
            # Where publishing is switched off, what an earlier start said is no longer true.
            publishers=publishers if self.settings.publish_workers else (),
        )

    def _heir(self, engine: Engine, ledger: SqlLedger, parts: PresenceParts) -> Heir:
        place = parts.place
        signals = signals_for(self.settings.redis_url, place.queues[0])
        work_seconds = bootstrap.build_limits(self.settings).work_seconds
        return Heir(
            keeper=SqlKeeper(
                engine,
                place.node_id,
                self.settings.delivery_attempts,
                lambda placed: signals.offer(placed, work_seconds),
            ),
            outbox=self._outbox(place),
            ledger=ledger,
            listen=parts.heard,
            instances=Instances(self.settings.data_dir / "instances" / place.node_id, parts.instance),
        )

    def _outbox(self, place: Place) -> Outbox:
        return Outbox(self.settings.outbox_dir / place.node_id, bootstrap.build_cipher(self.settings))


def build_ledger(settings: Settings, engine: Engine, node_id: str, start: Start) -> SqlLedger:
    """The ledger of one worker process."""
    return SqlLedger(
        engine=engine,
        taker=Taker(node_id, start.instance, settings.lease_seconds, start.worker),
        terms=bootstrap.build_terms(settings),
    )
