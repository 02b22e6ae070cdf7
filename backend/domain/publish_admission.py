"""Who may publish next: pure. Within a user by priority, between users by turns, within the limits of users, accounts and nodes.

Nothing here is random, and what does not fit now stays for the next look: nobody is refused, and nobody is passed over for ever.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from backend.domain.publishing import Health

RATE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class PublishLimits:
    """How many tasks of a user may be in flight, how many may be admitted within a minute, and how many works of
    publishing one node has at a time.
    """

    in_flight: int = 10
    per_minute: int = 20
    node_slots: int = 4


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pending publish task whose time has come. `confirms`: it was submitted before, and the platform is only asked."""

    task_id: str
    user_id: str
    account_id: str
    priority: int = 0
    confirms: bool = False


@dataclass(frozen=True, slots=True)
class UserLoad:
    """What a user has: tasks in flight, when tasks were admitted within the last minute (oldest first), and when the last one ever was."""

    in_flight: int = 0
    recent: tuple[datetime, ...] = ()
    served_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """What admission must know of an account.

    `occupied`: work of any kind has its slot. `free_at` is when its gap and its daily limit let it submit again. `node_id`
    is the only node that may use it; `None`: any that can.
    """

    id: str
    platform: str
    health: Health = Health.OK
    is_active: bool = True
    occupied: bool = False
    node_id: str | None = None
    free_at: datetime | None = None

    def may_submit(self, now: datetime) -> bool:
        """Whether its own pace lets it."""
        return self.free_at is None or self.free_at <= now


@dataclass(frozen=True, slots=True)
class PublishNode:
    """An available node: the platforms that it can, what it has of publish and account work, and of how much."""

    id: str
    platforms: frozenset[str]
    in_flight: int = 0
    capacity: int = 1

    def can(self, platform: str) -> bool:
        """Whether it has the publisher."""
        return platform in self.platforms


@dataclass(frozen=True, slots=True)
class Admission:
    """A task, or an account's errand, that gets its account's slot on a node."""

    id: str
    account_id: str
    node_id: str
    confirms: bool = False


@dataclass(slots=True)
class Places:
    """What is free while admissions are decided: it only ever shrinks, so what does not fit now fits no later either."""

    accounts: Mapping[str, AccountFacts]
    nodes: Sequence[PublishNode]
    taken: set[str] = field(default_factory=set)
    load: dict[str, int] = field(default_factory=dict)

    def open_account(self, account_id: str) -> AccountFacts | None:
        """The account, if its slot is free and it is switched on."""
        account = self.accounts.get(account_id)
        if account is None or not account.is_active or account.occupied or account_id in self.taken:
            return None
        return account

    def take(self, account: AccountFacts) -> str | None:
        """A place on the account's node, or on the least loaded one that can; `None` when there is none."""
        able = [node for node in self.nodes if serves(node, account) and self._room(node) > 0]
        if not able:
            return None
        chosen = min(able, key=lambda node: (self._used(node) / node.capacity, node.id))
        self.load[chosen.id] = self.load.get(chosen.id, 0) + 1
        self.taken.add(account.id)
        return chosen.id

    def _used(self, node: PublishNode) -> int:
        return node.in_flight + self.load.get(node.id, 0)

    def _room(self, node: PublishNode) -> int:
        return node.capacity - self._used(node)


def serves(node: PublishNode, account: AccountFacts) -> bool:
    """Whether work of the account may run there: an account's cookies belong to one node."""
    return node.can(account.platform) and account.node_id in {None, node.id}


def admit_errands(wanted: Iterable[tuple[str, str]], places: Places) -> list[Admission]:
    """Checks and logins, as (id, account id) and the most urgent first: whatever the account's health is."""
    admitted = []
    for one, account_id in wanted:
        account = places.open_account(account_id)
        node_id = None if account is None else places.take(account)
        if node_id is not None:
            admitted.append(Admission(one, account_id, node_id))
    return admitted


def rank(task: Candidate) -> tuple[bool, int, str]:
    """A user's own order: what was submitted is confirmed first, then by priority, then the oldest."""
    return not task.confirms, -task.priority, task.task_id


def turn(user_id: str, load: UserLoad) -> tuple[bool, float, str]:
    """The order of a round: who was served longest ago, and before them who never was."""
    served = load.served_at
    return served is not None, served.timestamp() if served else 0.0, user_id


def admit(
    tasks: Iterable[Candidate],
    users: Mapping[str, UserLoad],
    places: Places,
    limits: PublishLimits,
    now: datetime,
) -> list[Admission]:
    """One task of each user in turn, until nothing more fits; in the order in which they should begin."""
    waiting: dict[str, deque[Candidate]] = {}
    for task in sorted(tasks, key=rank):
        waiting.setdefault(task.user_id, deque()).append(task)
    budgets = {user: _Budget.of(users.get(user, UserLoad()), limits, now) for user in waiting}
    order = deque(sorted(waiting, key=lambda user: turn(user, users.get(user, UserLoad()))))
    admitted: list[Admission] = []
    while order:
        user = order.popleft()
        found = _next(waiting[user], budgets[user], places, now)
        if found is not None:
            admitted.append(found)
            order.append(user)
    return admitted


@dataclass(slots=True)
class _Budget:
    """What a user may still begin: any work, and new submissions."""

    any: int
    new: int

    @classmethod
    def of(cls, load: UserLoad, limits: PublishLimits, now: datetime) -> _Budget:
        since = now - timedelta(seconds=RATE_SECONDS)
        recent = sum(1 for moment in load.recent if moment > since)
        return cls(limits.in_flight - load.in_flight, limits.per_minute - recent)


def _next(waiting: deque[Candidate], budget: _Budget, places: Places, now: datetime) -> Admission | None:
    """The user's first task that fits; those before it fit no later in this look."""
    while waiting and budget.any > 0:
        task = waiting.popleft()
        account = places.open_account(task.account_id)
        if account is None or not account.health.may_publish:
            continue
        # Asking whether it is there submits nothing.
        if not task.confirms and not (budget.new > 0 and account.may_submit(now)):
            continue
        node_id = places.take(account)
        if node_id is not None:
            budget.any -= 1
            budget.new -= 0 if task.confirms else 1
            return Admission(task.task_id, account.id, node_id, task.confirms)
    return None
