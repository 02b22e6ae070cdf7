"""AK/SK pairs: shown once, stored as a hash, known by one read, and rotated with a grace."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine, event

from backend.domain.errors import Conflict, Forbidden, NotFound
from backend.domain.identifiers import hash_secret, new_id
from backend.store import credentials
from backend.store.columns import now
from backend.store.credentials import NodeIdentity, Pair, new_pair
from backend.store.nodes import create_node
from backend.store.session import read, transact
from backend.store.tables import Node, NodeCredential
from tests.building import change, make_node, rows_of, together


def remote_node(engine: Engine, name: str = "far") -> str:
    return transact(engine, lambda session: create_node(session, name=name, transport="remote").id)


def rotate(engine: Engine, node_id: str, pair: Pair | None = None, *, grace: float = 0.0) -> Pair:
    made = pair or new_pair()
    transact(engine, lambda session: credentials.rotate(session, node_id, made, grace_seconds=grace))
    return made


def ask(engine: Engine, pair: Pair, secret: str | None = None) -> NodeIdentity | None:
    given = pair.api_secret if secret is None else secret
    return read(engine, lambda session: credentials.authenticate(session, pair.api_key, given))


@contextmanager
def counted_statements(engine: Engine) -> Iterator[list[str]]:
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if statement.startswith("SELECT"):
            seen.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield seen
    event.remove(engine, "before_cursor_execute", note)


def test_a_pair_is_drawn_in_the_seeds_form_and_never_shows_its_secret() -> None:
    pair, other = new_pair(), new_pair()
    assert re.fullmatch(r"CN[A-Za-z0-9]{32}", pair.api_key)
    assert re.fullmatch(r"CS[A-Za-z0-9]{32}", pair.api_secret)
    assert pair.api_key != other.api_key
    assert pair.api_secret not in repr(pair)


def test_only_the_hash_of_a_secret_is_stored(engine: Engine) -> None:
    pair = rotate(engine, remote_node(engine))
    (row,) = rows_of(engine, NodeCredential)
    assert row.secret_hash == hashlib.sha256(pair.api_secret.encode()).hexdigest()
    assert pair.api_secret not in str([getattr(row, column.name) for column in row.__table__.columns])


def test_a_node_is_known_by_its_pair_in_one_read(engine: Engine) -> None:
    node_id = remote_node(engine)
    pair = rotate(engine, node_id)
    with counted_statements(engine) as seen:
        known = ask(engine, pair)
    assert known == NodeIdentity(node_id, "far", "far", "remote", "", 10)
    assert len(seen) == 1


def test_nobody_is_known_by_a_wrong_secret_an_unknown_key_or_another_nodes_secret(engine: Engine) -> None:
    pair = rotate(engine, remote_node(engine))
    other = rotate(engine, remote_node(engine, "other"))
    assert ask(engine, pair, "CS" + "x" * 32) is None
    assert ask(engine, pair, "") is None
    assert ask(engine, pair, other.api_secret) is None
    assert ask(engine, pair, pair.api_secret.lower()) is None
    assert ask(engine, new_pair()) is None
    assert ask(engine, Pair(new_id(), pair.api_key.swapcase(), pair.api_secret)) is None
    assert ask(engine, Pair(new_id(), "CN密钥", pair.api_secret)) is None
    assert ask(engine, pair, "CS密钥") is None


def test_only_the_right_pair_of_a_switched_off_node_learns_that_it_is_off(engine: Engine) -> None:
    node_id = remote_node(engine)
    pair = rotate(engine, node_id)
    change(engine, Node, node_id, is_active=False)
    with pytest.raises(Forbidden, match="far is switched off"):
        ask(engine, pair)
    assert ask(engine, pair, "wrong") is None


def test_rotating_without_a_grace_ends_the_old_pair_at_once(engine: Engine) -> None:
    node_id = remote_node(engine)
    old, new = rotate(engine, node_id), rotate(engine, node_id)
    assert ask(engine, old) is None
    assert ask(engine, new) is not None
    assert [row.api_key for row in rows_of(engine, NodeCredential)] == [new.api_key]


def test_an_old_pair_is_valid_until_its_grace_ends_and_no_rotation_prolongs_it(engine: Engine) -> None:
    node_id = remote_node(engine)
    first = rotate(engine, node_id)
    second = rotate(engine, node_id, grace=3600)
    assert ask(engine, first) is not None
    assert ask(engine, second) is not None
    ends = {row.api_key: row.expires_at for row in rows_of(engine, NodeCredential)}
    third = rotate(engine, node_id, grace=7200)
    later = {row.api_key: row.expires_at for row in rows_of(engine, NodeCredential)}
    assert later[first.api_key] == ends[first.api_key]
    assert later[second.api_key] > ends[first.api_key]
    assert later[third.api_key] is None
    change(engine, NodeCredential, first.id, expires_at=now(-0.001))
    assert ask(engine, first) is None
    assert ask(engine, second) is not None


def test_storing_the_same_pair_again_after_a_lost_answer_changes_nothing(engine: Engine) -> None:
    node_id = remote_node(engine)
    pair = rotate(engine, node_id)
    rotate(engine, node_id, pair)
    assert ask(engine, pair) is not None
    assert len(rows_of(engine, NodeCredential)) == 1


def test_of_pairs_made_at_the_same_moment_one_stays(engine: Engine) -> None:
    node_id = remote_node(engine)
    pairs = together(*[lambda: rotate(engine, node_id)] * 4)
    assert [ask(engine, pair) is not None for pair in pairs].count(True) == 1
    current = read(engine, credentials.current_keys)
    assert current[node_id] in {pair.api_key for pair in pairs}


def test_nodes_without_http_and_unknown_nodes_get_no_pair(engine: Engine) -> None:
    attached = make_node(engine)
    with pytest.raises(Conflict, match="needs no credentials"):
        rotate(engine, attached)
    with pytest.raises(NotFound):
        rotate(engine, new_id())
    assert rows_of(engine, NodeCredential) == []


def test_notifications_are_signed_for_every_valid_pair_the_current_one_first(engine: Engine) -> None:
    node_id = remote_node(engine)
    old, new = rotate(engine, node_id), rotate(engine, node_id, grace=60)
    hashes = read(engine, lambda session: credentials.valid_hashes(session, node_id))
    assert hashes == [hash_secret(one.api_secret) for one in (new, old)]
    change(engine, NodeCredential, old.id, expires_at=now(-0.001))
    hashes = read(engine, lambda session: credentials.valid_hashes(session, node_id))
    assert hashes == [hash_secret(new.api_secret)]


def test_forgotten_pairs_are_accepted_no_more(engine: Engine) -> None:
    node_id = remote_node(engine)
    pair = rotate(engine, node_id)
    transact(engine, lambda session: credentials.forget(session, node_id))
    assert ask(engine, pair) is None
