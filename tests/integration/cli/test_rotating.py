"""`cascade secrets rotate`: afterwards the new key alone opens everything, and what runs meanwhile loses nothing."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select, update
from sqlalchemy.orm import Session

from backend.bootstrap import build_cipher, load_settings
from backend.domain.identifiers import new_id
from backend.domain.orders import Outcome
from backend.store.cipher import Cipher
from backend.store.rotating import SealedColumn, reseal_part, sealed_columns
from backend.store.session import create_engine_for, read, transact
from backend.store.tables import Base, IdempotentRequest, PublishAccount
from backend.workers.outbox import Outbox
from tests.integration.cli.conftest import Cascade

SECRET = "what nobody may read"
OLD, NEW = "an old key", "a new key"


def sealed(cipher: Cipher) -> dict[str, Any]:
    """A row's columns that are encrypted."""
    return {"credentials": cipher.encrypt(SECRET), "login_prompt": cipher.encrypt(SECRET)}


def add_account(engine: Engine, cipher: Cipher, name: str) -> str:
    """An account with secrets; its id."""
    row = {"id": new_id(), "platform": "zhihu", "name": name, **sealed(cipher)}
    transact(engine, lambda session: session.execute(insert(PublishAccount).values(**row)))
    return str(row["id"])


def opened_with(engine: Engine, key: str) -> list[str]:
    """Every secret of the database, as that key alone opens it."""
    cipher, found = Cipher(key), []
    for one in sealed_columns():
        query = select(one.column).where(one.column != "")
        found += [cipher.decrypt(token) for token in read(engine, lambda s, q=query: s.scalars(q).all())]  # type: ignore[misc]
    return found


def keys_of(cli: Cascade) -> list[str]:
    """What the key's file says."""
    return (cli.data_dir / "secret.key").read_text().strip().split(",")


@pytest.fixture
def database(cli: Cascade) -> Iterator[Engine]:
    """The command's own database, made and with its key."""
    cli.ok("init")
    engine = create_engine_for(f"sqlite:///{cli.data_dir / 'cascade.db'}", pooled=False)
    yield engine
    engine.dispose()


def running(cli: Cascade) -> Cipher:
    """The cipher of a process that started before."""
    return build_cipher(load_settings(data_dir=cli.data_dir))


def put_away(cli: Cascade, cipher: Cipher) -> Path:
    """An outcome in a node's outbox; its file."""
    box = Outbox(cli.data_dir / "outbox" / "node-1", cipher)
    return box.put(Outcome("a", 1, "x", "publish"), final=True)


def test_everything_is_readable_with_the_new_key_alone_though_others_write_meanwhile(
    cli: Cascade, database: Engine
) -> None:
    cipher, over = running(cli), threading.Event()
    waiting, dead = put_away(cli, cipher), put_away(cli, cipher)
    dead.parent.joinpath("dead").mkdir()
    dead = dead.rename(dead.parent / "dead" / dead.name)
    [old] = keys_of(cli)
    kept = add_account(database, cipher, "first")

    def write() -> None:
        for number in count():
            account = add_account(database, cipher, f"account {number}")
            assert cipher.decrypt(secrets_of(database, account)) == SECRET
            if over.is_set():
                break

    writer = threading.Thread(target=write)
    writer.start()
    try:
        told = cli.run("secrets", "rotate", "--grace", "0.5")
    finally:
        over.set()
        writer.join()
    assert told.exit_code == 0, told.output
    [new] = keys_of(cli)
    assert new != old
    assert stat.S_IMODE((cli.data_dir / "secret.key").stat().st_mode) == 0o600
    assert set(opened_with(database, new)) == {SECRET}
    assert cipher.decrypt(secrets_of(database, kept)) == SECRET
    assert all('"publish"' in Cipher(new).decrypt(path.read_text()) for path in (waiting, dead))
    assert old not in told.output
    assert new not in told.output


def secrets_of(engine: Engine, account_id: str) -> str:
    """An account's credentials, as they are stored."""
    query = select(PublishAccount.credentials).where(PublishAccount.id == account_id)
    return str(read(engine, lambda session: session.scalar(query)))


def test_an_interrupted_rotation_goes_on_with_the_key_that_it_drew(cli: Cascade, database: Engine) -> None:
    [old] = keys_of(cli)
    add_account(database, Cipher(old), "not yet")
    add_account(database, Cipher(NEW), "already")
    (cli.data_dir / "secret.key").write_text(f"{NEW},{old}\n")
    assert cli.ok("secrets", "rotate", "--grace", "0") == "2"
    assert keys_of(cli) == [NEW]
    assert opened_with(database, NEW) == [SECRET] * 4


def test_a_key_from_the_environment_is_left_to_its_owner(cli: Cascade) -> None:
    cli.environment["CASCADE_SECRET_KEY"] = OLD
    cli.ok("init")
    engine = create_engine_for(f"sqlite:///{cli.data_dir / 'cascade.db'}", pooled=False)
    add_account(engine, Cipher(OLD), "mine")
    assert "NEW,OLD" in cli.refusal("secrets", "rotate")
    assert opened_with(engine, OLD) == [SECRET] * 2
    cli.environment["CASCADE_SECRET_KEY"] = f"{NEW},{OLD}"
    told = cli.run("secrets", "rotate", "--grace", "0")
    assert "Remove the old one" in told.stderr
    assert opened_with(engine, NEW) == [SECRET] * 2
    assert not (cli.data_dir / "secret.key").exists()
    engine.dispose()


def test_what_no_key_opens_is_named_and_the_old_key_stays(cli: Cascade, database: Engine) -> None:
    lost = add_account(database, Cipher("nobody's key"), "lost")
    told = cli.run("secrets", "rotate", "--grace", "0", "--json")
    assert told.exit_code == 1
    assert json.loads(told.stdout.splitlines()[-1])["unreadable"] == [
        f"publish_accounts.{column} {lost}" for column in ("credentials", "login_prompt")
    ]
    assert len(keys_of(cli)) == 2


def test_each_part_goes_on_where_the_last_one_ended(engine: Engine) -> None:
    ids = sorted(add_account(engine, Cipher(OLD), f"account {number}") for number in range(5))
    cipher, column = Cipher(f"{NEW},{OLD}"), column_of("credentials")
    seen, after = [], ""
    while after is not None:
        part = transact(engine, lambda session, after=after: reseal_part(session, cipher, column, after, 2))  # type: ignore[misc]
        seen.append((part.last, part.changed))
        after = part.last  # type: ignore[assignment]
    assert seen == [(ids[1], 2), (ids[3], 2), (None, 1)]
    again = transact(engine, lambda session: reseal_part(session, cipher, column, "", 9))
    assert again.changed == 0


def test_what_somebody_writes_meanwhile_is_never_overwritten(engine: Engine) -> None:
    account = add_account(engine, Cipher(OLD), "mine")

    def work(session: Session) -> int:
        late = Late(f"{NEW},{OLD}", session, account)
        return reseal_part(session, late, column_of("credentials"), "", 9).changed

    # It counts as changed, so that another pass looks at it again.
    assert transact(engine, work) == 1
    assert Cipher(NEW).decrypt(secrets_of(engine, account)) == "newer"


class Late(Cipher):
    """Lets somebody replace the credentials between the read and the write."""

    def __init__(self, keys: str, session: Session, account: str) -> None:
        super().__init__(keys)
        self.session, self.account = session, account

    def refresh(self, token: str) -> str:
        statement = update(PublishAccount).values(credentials=Cipher(NEW).encrypt("newer"))
        self.session.execute(statement.where(PublishAccount.id == self.account))
        return super().refresh(token)


def column_of(name: str) -> SealedColumn:
    """That column of the accounts."""
    table = Base.metadata.tables["publish_accounts"]
    return SealedColumn(table, table.columns[name])


def test_the_columns_that_secrets_lie_in_are_known() -> None:
    known = {one.name for one in sealed_columns()}
    assert {"publish_accounts.credentials", "publish_accounts.login_prompt"} <= known
    assert f"{IdempotentRequest.__tablename__}.answer" in known
    assert {f"message_tasks.{one}" for one in ("web_hook_url", "headers", "cookies")} <= known
