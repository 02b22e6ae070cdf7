"""Users, logins and access keys in the store, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from backend.domain.errors import CascadeError, Conflict, InvalidInput, NotFound
from backend.domain.identifiers import new_id
from backend.domain.people import KeyPair, draw_key_pair
from backend.store import access_keys, logins, users
from backend.store.access_keys import KeyHolder
from backend.store.columns import now
from backend.store.session import read, transact
from backend.store.tables import AccessKey, Login, User
from backend.store.users import UserView
from tests.building import change, row_of, rows_of, together


def add_user(engine: Engine, name: str, role: str = "admin") -> UserView:
    """A user; what its hash is does not matter here."""
    user_id = new_id()
    return transact(
        engine,
        lambda session: users.create_user(session, user_id=user_id, name=name, password_hash="h", role=role),
    )


def add_key(engine: Engine, user: UserView, **options: object) -> tuple[str, KeyPair]:
    """An access key of the user: its id and pair."""
    key_id, pair = new_id(), draw_key_pair()
    values: dict[str, object] = {"user_id": user.id, "name": "script"} | options
    transact(engine, lambda session: access_keys.create_key(session, key_id, pair, **values))  # type: ignore[arg-type]
    return key_id, pair


def holder(engine: Engine, pair: KeyPair) -> KeyHolder | None:
    return read(engine, lambda session: access_keys.holder_of(session, pair))


@pytest.mark.parametrize("name", ["ádmin", "Àdmin", "ad\u200bmin"])
def test_a_name_has_no_spellings_that_the_lock_of_logins_does_not_know(engine: Engine, name: str) -> None:
    add_user(engine, "admin")
    assert read(engine, lambda session: users.find_user(session, " ADMIN ")) is not None
    assert read(engine, lambda session: users.find_user(session, name)) is None


def later(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def log_in(engine: Engine, user: UserView, seconds: float = 600) -> str:
    login_id = new_id()
    transact(engine, lambda session: logins.start_login(session, login_id, user.id, later(seconds)))
    return login_id


def is_alive(engine: Engine, login_id: str, user: UserView) -> bool:
    found = read(engine, lambda session: logins.logged_in(session, login_id, user.id, user.token_version))
    return found is not None


@pytest.mark.parametrize("changes", [{"role": "operator"}, {"role": "viewer"}, {"is_active": False}])
def test_the_last_active_admin_keeps_its_rights(engine: Engine, changes: dict[str, object]) -> None:
    ana, ben = add_user(engine, "ana"), add_user(engine, "ben")
    transact(engine, lambda session: users.update_user(session, ben.id, is_active=False))
    with pytest.raises(Conflict, match="ana is the last active admin"):
        transact(engine, lambda session: users.update_user(session, ana.id, **changes))  # type: ignore[arg-type]
    with pytest.raises(Conflict, match="last active admin"):
        transact(engine, lambda session: users.delete_user(session, ana.id))
    transact(engine, lambda session: users.update_user(session, ben.id, is_active=True))
    transact(engine, lambda session: users.update_user(session, ana.id, **changes))  # type: ignore[arg-type]
    transact(engine, lambda session: users.delete_user(session, ana.id))
    assert [user.name for user in read(engine, users.list_users)] == ["ben"]


def test_of_admins_who_take_each_other_s_rights_at_once_one_is_left(engine: Engine) -> None:
    admins = [add_user(engine, f"admin {number}") for number in range(6)]

    def demote(user: UserView) -> bool:
        try:
            transact(engine, lambda session: users.update_user(session, user.id, role="viewer"))
        except Conflict:
            return False
        return True

    done = together(*(lambda user=user: demote(user) for user in admins))
    assert sorted(done) == [False, *[True] * 5]
    assert [user.role for user in read(engine, users.list_users)].count("admin") == 1


def test_what_is_left_out_of_a_change_stays(engine: Engine) -> None:
    ana, ben = add_user(engine, "ana"), add_user(engine, "ben", "viewer")
    changed = transact(engine, lambda session: users.update_user(session, ben.id, role="operator"))
    assert (changed.role, changed.is_active, changed.token_version) == ("operator", True, 1)
    assert read(engine, lambda session: users.get_user(session, ana.id)) == ana
    with pytest.raises(InvalidInput):
        transact(engine, lambda session: users.update_user(session, ben.id, role="king"))
    with pytest.raises(NotFound):
        transact(engine, lambda session: users.update_user(session, "nobody", role="viewer"))


def test_a_hash_is_renewed_unless_the_password_was_changed_meanwhile(engine: Engine) -> None:
    ana = add_user(engine, "ana")
    transact(engine, lambda session: users.renew_hash(session, ana.id, "not the hash", "worse"))
    assert row_of(engine, User).password_hash == "h"
    transact(engine, lambda session: users.renew_hash(session, ana.id, "h", "better"))
    assert row_of(engine, User).password_hash == "better"
    assert row_of(engine, User).token_version == ana.token_version


def test_imported_hashes_are_noticed_until_the_last_is_gone(engine: Engine) -> None:
    ana = add_user(engine, "ana")

    def imported_exist() -> bool:
        return read(engine, lambda session: users.credentials_of(session, "nobody")).imported_exist

    assert not imported_exist()
    change(engine, User, ana.id, password_hash="$2b$12$abc")
    assert imported_exist()
    assert read(engine, lambda session: users.credentials_of(session, " ANA ")).password_hash == "$2b$12$abc"


def test_one_login_is_ended_and_the_others_go_on(engine: Engine) -> None:
    ana, ben = add_user(engine, "ana"), add_user(engine, "ben")
    first, second = log_in(engine, ana), log_in(engine, ana)
    assert not is_alive(engine, first, ben)
    transact(engine, lambda session: logins.end_login(session, first))
    assert (is_alive(engine, first, ana), is_alive(engine, second, ana)) == (False, True)


@pytest.mark.parametrize("changes", [{"password_hash": "new"}, {"is_active": False}])
def test_a_new_password_and_switching_off_end_every_login_for_good(
    engine: Engine, changes: dict[str, object]
) -> None:
    ana, ben = add_user(engine, "ana"), add_user(engine, "ben")
    login, other = log_in(engine, ana), log_in(engine, ben)
    transact(engine, lambda session: users.update_user(session, ana.id, **changes))  # type: ignore[arg-type]
    transact(engine, lambda session: users.update_user(session, ana.id, is_active=True))
    assert (is_alive(engine, login, ana), is_alive(engine, other, ben)) == (False, True)
    assert [row.user_id for row in rows_of(engine, Login)] == [ben.id]


def test_a_login_that_began_while_the_password_was_changed_is_dead(engine: Engine) -> None:
    before = add_user(engine, "ana")
    transact(engine, lambda session: users.set_password(session, "ana", "new"))
    assert not is_alive(engine, log_in(engine, before), before)


def test_logins_whose_tokens_have_expired_are_forgotten_at_later_logins(engine: Engine) -> None:
    ana = add_user(engine, "ana")
    log_in(engine, ana, -1)
    kept = log_in(engine, ana)
    extended = log_in(engine, ana)
    change(engine, Login, extended, expires_at=now(-1))
    transact(engine, lambda session: logins.extend_login(session, extended, later(60)))
    assert [row.id for row in rows_of(engine, Login)] == [kept, extended]


def test_a_key_acts_as_its_user_with_the_lesser_role(engine: Engine) -> None:
    ana = add_user(engine, "ana", "operator")
    _, full = add_key(engine, ana)
    _, reading = add_key(engine, ana, role="viewer")
    roles = [found.user.role for pair in (full, reading) if (found := holder(engine, pair))]
    assert roles == ["operator", "viewer"]
    transact(engine, lambda session: users.update_user(session, ana.id, role="viewer"))
    found = holder(engine, full)
    assert found is not None
    assert (found.user.id, found.user.role) == (ana.id, "viewer")
    with pytest.raises(InvalidInput) as refused:
        add_key(engine, ana, role="admin")
    assert refused.value.fields.keys() == {"role"}


def test_a_key_is_dead_once_revoked_expired_or_its_user_switched_off(engine: Engine) -> None:
    ana = add_user(engine, "ana")
    add_user(engine, "ben")
    key_id, pair = add_key(engine, ana)
    wrong = KeyPair(pair.access_key, draw_key_pair().secret)
    assert (holder(engine, wrong), holder(engine, draw_key_pair())) == (None, None)
    transact(engine, lambda session: users.update_user(session, ana.id, is_active=False))
    assert holder(engine, pair) is None
    transact(engine, lambda session: users.update_user(session, ana.id, is_active=True))
    assert holder(engine, pair) is not None
    change(engine, AccessKey, key_id, expires_at=now(-1))
    assert holder(engine, pair) is None
    change(engine, AccessKey, key_id, expires_at=now(60))
    assert holder(engine, pair) is not None
    transact(engine, lambda session: access_keys.revoke_key(session, key_id))
    assert holder(engine, pair) is None


def test_only_the_hash_of_a_secret_is_stored_and_lists_do_not_show_it(engine: Engine) -> None:
    ana = add_user(engine, "ana")
    key_id, pair = add_key(engine, ana, expires_at=later(3600))
    row = row_of(engine, AccessKey)
    assert pair.secret not in {str(value) for value in vars(row).values()}
    (shown,) = read(engine, access_keys.list_keys)
    assert (shown.id, shown.user_name, shown.access_key) == (key_id, "ana", pair.access_key)
    assert row.secret_hash not in repr(shown)
    assert shown.expires_at is not None
    assert abs(shown.expires_at - later(3600)) < timedelta(minutes=1)


def test_a_key_s_use_is_written_down_once_in_a_while(engine: Engine) -> None:
    key_id, pair = add_key(engine, add_user(engine, "ana"))

    def used() -> bool:
        found = holder(engine, pair)
        assert found is not None
        if not found.use_is_noted:
            transact(engine, lambda session: access_keys.note_use(session, key_id))
        return not found.use_is_noted

    assert [used(), used(), used()] == [True, False, False]
    first = row_of(engine, AccessKey).last_used_at
    transact(engine, lambda session: access_keys.note_use(session, key_id))
    assert row_of(engine, AccessKey).last_used_at == first
    change(engine, AccessKey, key_id, last_used_at=now(-access_keys.USE_NOTED_SECONDS - 1))
    assert used()


def test_keys_belong_to_their_user_and_go_with_it(engine: Engine) -> None:
    ana, ben = add_user(engine, "ana"), add_user(engine, "ben")
    ana_key, ana_pair = add_key(engine, ana)
    ben_key, _ = add_key(engine, ben)
    with pytest.raises(NotFound):
        transact(engine, lambda session: access_keys.revoke_key(session, ana_key, ben.id))
    shown = read(engine, lambda session: access_keys.list_keys(session, ana.id))
    assert [key.id for key in shown] == [ana_key]
    transact(engine, lambda session: users.delete_user(session, ana.id))
    assert holder(engine, ana_pair) is None
    assert [row.id for row in rows_of(engine, AccessKey)] == [ben_key]


def test_a_user_has_a_bounded_number_of_keys_however_many_are_asked_for_at_once(engine: Engine) -> None:
    ana = add_user(engine, "ana")
    for _ in range(access_keys.MAX_KEYS - 2):
        add_key(engine, ana)

    def attempt() -> str:
        try:
            add_key(engine, ana)
        except CascadeError as error:
            return error.code
        return "made"

    assert sorted(together(*[attempt] * 4)) == ["made", "made", "too_many_keys", "too_many_keys"]
