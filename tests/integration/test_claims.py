"""Claims in groups: several nodes take work in one transaction, each piece once, and nobody takes the others along."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from sqlalchemy import Engine, event, text

from backend.api.claiming import Claiming, Leases
from backend.dispatch.queues import node_queue
from backend.domain.errors import CascadeError, Forbidden, Unauthenticated
from backend.store import claims
from backend.store.cipher import Cipher
from backend.store.claims import Ask, Claimant, Claimed, Turn
from backend.store.credentials import Pair
from backend.store.session import transact
from backend.store.sync_logs import SyncEntry
from backend.store.tables import Allocation, History, MessageTask, Node, SyncLog
from tests.building import CIPHER, change, counted, dispatch, make_task, rows_of, together
from tests.integration.api.playing import make_accounts, make_child


def asked(pair: Pair, limit: int = 1, claim_id: str | None = None) -> Ask:
    """A claim of the pair's node."""
    return Ask(pair.api_key, pair.api_secret, SyncEntry("", "claim_task", "pull"), limit, claim_id)


def claim(engine: Engine, asks: Sequence[Ask]) -> list[Claimed | CascadeError]:
    """The answers to a group."""
    return transact(
        engine,
        lambda session: claims.claim(
            session, asks, CIPHER, lambda node: Claimant(node.id, node_queue(node.slug), 60.0), Turn("turn")
        ),
    )


def given(answer: Claimed | CascadeError) -> list[str]:
    """The ids that an answer gives."""
    assert isinstance(answer, Claimed)
    return [one.allocation_id for one in answer.packages]


def dispatch_singles(engine: Engine, count: int) -> None:
    """So many allocations of one feed each."""
    for feed_id in make_accounts(engine, count):
        dispatch(engine, make_task(engine, [feed_id]))


@pytest.mark.parametrize("backend", ["mariadb"], indirect=True)
def test_many_claims_at_once_give_each_piece_once_in_fewer_transactions(engine: Engine) -> None:
    pairs = [make_child(engine, f"n{number}")[1] for number in range(4)]
    dispatch_singles(engine, 24)
    commits: list[object] = []
    event.listen(engine, "commit", commits.append)
    # Two as in two processes: each must pass over what the other holds.
    both = [Claiming(engine, CIPHER, Leases(60.0, 60.0)) for _ in range(2)]

    def drain(number: int) -> Callable[[], list[str]]:
        ask = asked(pairs[number % 4])
        return lambda: [one for _ in range(10) for one in given(both[number % 2].take(ask))]

    found = [one for part in together(*[drain(number) for number in range(16)]) for one in part]
    assert len(found) == len(set(found)) == 24
    assert counted(engine, Allocation) == {"claimed": 24}
    assert sum(node.empty_claims for node in rows_of(engine, Node)) == 160 - 24
    assert len(commits) < 160


def test_in_a_group_each_gets_its_own_and_refusals_take_nobody_along(engine: Engine) -> None:
    (first, one), (second, two), (third, off) = [make_child(engine, name) for name in ("a", "b", "c")]
    dispatch_singles(engine, 6)
    change(engine, Node, third, is_active=False)
    wrong = Pair("", one.api_key, two.api_secret)
    answers = claim(engine, [asked(one), asked(wrong), asked(two, 5), asked(off), asked(one)])
    assert [type(answer) for answer in answers] == [Claimed, Unauthenticated, Claimed, Forbidden, Claimed]
    taken = {row.id: row.node_id for row in rows_of(engine, Allocation) if row.state == "claimed"}
    ours = [given(answers[number]) for number in (0, 2, 4)]
    assert [{taken[one] for one in part} for part in ours] == [{first}, {second}, {first}]
    assert len({one for part in ours for one in part}) == sum(len(part) for part in ours) == len(taken)
    history = {row.subject_id: row.actor for row in rows_of(engine, History) if row.to_state == "claimed"}
    assert history == {one: f"node {node}" for one, node in taken.items()}
    logged = {(row.node_id, *row.extra_data["allocation_ids"]) for row in rows_of(engine, SyncLog)}
    assert logged == {(first, *ours[0]), (second, *ours[1]), (first, *ours[2])}


def test_a_claim_id_gets_the_same_within_a_group_and_after_it(engine: Engine) -> None:
    (_, one), (_, two) = make_child(engine, "a"), make_child(engine, "b")
    dispatch_singles(engine, 6)
    group = [asked(one, claim_id="c"), asked(two, claim_id="c"), asked(one, claim_id="c")]
    first = [given(answer) for answer in claim(engine, group)]
    assert first[0] == first[2] != first[1]
    assert [given(answer) for answer in claim(engine, group)] == first
    assert counted(engine, Allocation)["claimed"] == 2


def test_work_whose_secrets_can_not_be_decrypted_stays_pending_and_others_get_theirs(engine: Engine) -> None:
    (_, one), (_, two) = make_child(engine, "a"), make_child(engine, "b")
    dispatch_singles(engine, 2)
    theirs = {row.queue: row for row in rows_of(engine, Allocation)}
    assert len(theirs) == 2
    lost = theirs[node_queue("a")]
    change(engine, MessageTask, lost.task_id, cookies=Cipher("another key").encrypt("secret"))
    answers = claim(engine, [asked(one), asked(two)])
    assert given(answers[0]) == []
    assert isinstance(answers[0], Claimed)
    assert answers[0].unreadable
    assert answers[0].unreadable.code == "wrong_secret_key"
    assert given(answers[1]) == [theirs[node_queue("b")].id]
    change(engine, MessageTask, lost.task_id, cookies="")
    assert given(claim(engine, [asked(one)])[0]) == [lost.id]


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_what_can_not_be_counted_takes_no_work_from_those_who_claimed_in_the_same_group(
    engine: Engine,
) -> None:
    _, pair = make_child(engine, "a")
    claiming = Claiming(engine, CIPHER, Leases(60.0, 60.0))
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE nodes RENAME COLUMN empty_claims TO gone"))
    # Raised after the commit, it would have the whole group claim again, and the first packages would reach nobody.
    assert given(claiming.take(asked(pair))) == []
