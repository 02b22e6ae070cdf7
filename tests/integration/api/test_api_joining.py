"""Join tokens over HTTP: each makes one node's credentials, once, and says why it can't when it can't."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from backend.domain import wire
from backend.domain.identifiers import new_id
from backend.domain.protocol import PROTOCOL, Capabilities
from backend.domain.wire import Join, Joined
from backend.store.columns import now
from backend.store.credentials import Pair
from backend.store.tables import JoinToken, Node, NodeCredential
from tests import building
from tests.building import change, forget, row_of, rows_of, together
from tests.integration.api.harness import Api, data
from tests.integration.api.playing import Child, make_child
from tests.integration.api.remote_node import ABLE, CASCADE, RemoteNode


def token_for(api: Api, name: str = "far", status: int = 200, **more: object) -> Any:
    """What an admin gets who asks for a token."""
    answer = api.as_role("admin").post(f"{CASCADE}/join-tokens", json={"name": name, **more})
    return data(answer, status)["token"] if status == 200 else data(answer, status)


def join(api: Api, token: str, instance: str = "", **more: Any) -> Any:
    """The answer to a join."""
    body = Join(token, instance or new_id(), "1.0", PROTOCOL, ABLE)
    return api.client().post(f"{CASCADE}/join", json=wire.plain(body) | more)


def joined(answer: Any) -> Joined:
    return wire.from_plain(Joined, data(answer))


def knows(api: Api, member: Joined) -> bool:
    """Whether the node's pair is accepted."""
    pair = Pair("", member.api_key, member.api_secret)
    node = RemoteNode(Child(api, member.node_id, pair, CASCADE))
    answer = node.child.post("/heartbeat", {"instance": node.instance})
    node.child.post("/heartbeat", {"instance": node.instance, "signs_off": True})
    return bool(answer.status_code == 200)


def test_a_token_makes_the_node_and_its_credentials_and_what_it_can_do_is_known_at_once(api: Api) -> None:
    member = joined(join(api, token_for(api, "远方")))
    row = row_of(api.engine, Node)
    assert (row.id, row.name, row.slug, row.transport) == (member.node_id, "远方", member.slug, "remote")
    assert (row.publishers, row.protocol, member.protocol) == (["zhihu"], PROTOCOL, PROTOCOL)
    assert knows(api, member)
    stored = str([vars(one) for one in rows_of(api.engine, JoinToken) + rows_of(api.engine, NodeCredential)])
    assert member.api_secret not in stored


def test_a_token_of_a_node_that_exists_replaces_its_credentials_at_once(api: Api) -> None:
    first = joined(join(api, token_for(api)))
    second = joined(join(api, token_for(api)))
    assert first.node_id == second.node_id
    assert (knows(api, first), knows(api, second)) == (False, True)


def test_a_token_works_once_also_for_many_at_the_same_moment(api: Api) -> None:
    token = token_for(api)
    answers = together(*(lambda: join(api, token) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]
    assert len(rows_of(api.engine, NodeCredential)) == 1
    refused = next(answer for answer in answers if answer.status_code == 401)
    assert data(refused, 401)["error"] == "join_token_used"
    assert "./cascade node token" in refused.get_json()["message"]


def test_the_start_that_used_a_token_may_ask_again_for_a_while_because_its_answer_may_be_lost(
    api: Api,
) -> None:
    token, instance = token_for(api), new_id()
    lost = joined(join(api, token, instance))
    again = joined(join(api, token, instance))
    assert (knows(api, lost), knows(api, again)) == (False, True)
    change(api.engine, JoinToken, used_at=now(-300))
    assert data(join(api, token, instance), 401)["error"] == "join_token_used"


def test_an_expired_an_unknown_and_a_replaced_token_each_say_so(api: Api) -> None:
    expired, replaced = token_for(api, "a"), token_for(api, "b")
    change(api.engine, JoinToken, expires_at=now(-1))
    assert data(join(api, expired), 401)["error"] == "join_token_expired"
    token_for(api, "b")
    assert data(join(api, replaced), 401)["error"] == "join_token_unknown"
    assert data(join(api, "CJ" + "x" * 32), 401)["error"] == "join_token_unknown"


def test_five_guesses_lock_an_address_and_the_right_token_is_not_used_up_by_that(api: Api) -> None:
    token = token_for(api)
    guesses = [join(api, "CJ" + str(number) * 32).status_code for number in range(5)]
    assert guesses == [401] * 5
    locked = join(api, token)
    assert data(locked, 429)["error"] == "join_locked"
    assert int(locked.headers["Retry-After"]) > 0
    assert row_of(api.engine, JoinToken).used_at is None


def test_a_node_of_the_parents_own_machines_gets_no_token_and_one_that_is_off_is_refused(api: Api) -> None:
    building.make_node(api.engine, "here")
    assert token_for(api, "here", 409)["error"] == "node_needs_no_token"
    token = token_for(api)
    change(api.engine, Node, rows_of(api.engine, JoinToken)[0].node_id, is_active=False)
    assert data(join(api, token), 403)["error"] == "node_switched_off"
    assert row_of(api.engine, JoinToken).used_at is None


def test_a_node_that_is_too_old_is_told_before_its_token_is_used(api: Api) -> None:
    token = token_for(api)
    assert data(join(api, token, protocol=0), 409)["error"] == "protocol_too_old"
    older = joined(join(api, token, protocol=1, capabilities=wire.plain(Capabilities(("publish", "update")))))
    assert row_of(api.engine, Node, older.node_id).kinds == ["update"]


def test_old_tokens_are_forgotten(api: Api) -> None:
    token_for(api)
    change(api.engine, JoinToken, expires_at=now(-8 * 86_400))
    assert forget(api.engine)["sweep_old_join_tokens"] == 1
    assert rows_of(api.engine, JoinToken) == []


def test_credentials_are_rotated_under_load_without_a_failed_request_and_at_once_with_a_code(
    api: Api,
) -> None:
    admin, old = api.as_role("admin"), RemoteNode(Child(api, *make_child(api.engine, "far"), prefix=CASCADE))

    def rotate(grace: int) -> RemoteNode:
        path = f"{CASCADE}/nodes/{old.id}/credentials"
        pair = data(admin.post(path, json={"grace_seconds": grace}))
        return replace(old, child=replace(old.child, pair=Pair("", pair["api_key"], pair["api_secret"])))

    def work() -> list[int]:
        return [old.child.post("/heartbeat", {"instance": old.instance}).status_code for _ in range(8)]

    made: list[RemoteNode] = []

    def rotate_kindly() -> list[int]:
        made.append(rotate(60))
        return []

    answers = together(work, work, rotate_kindly)
    assert {status for some in answers for status in some} == {200}
    newer = rotate(0)
    assert old.claim(status=401)["error"] == "dead_key"
    assert made[0].claim(status=401)["error"] == "dead_key"
    assert newer.claim() == []
