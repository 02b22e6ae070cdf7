"""`cascade secrets rotate`: a new key for everything that is encrypted, while the system runs."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_urlsafe

import click
from sqlalchemy import Engine

from backend.bootstrap import build_cipher, build_secret_keys
from backend.cli import options
from backend.cli.language import say
from backend.cli.opening import Place, opened
from backend.cli.output import as_json, note, result
from backend.domain.errors import ConfigurationError
from backend.store.cipher import Cipher
from backend.store.rotating import reseal_part, sealed_columns
from backend.store.session import transact
from backend.workers.outbox import Outbox, write_durably
from config import Settings

ROWS = 100
GRACE_SECONDS = 20.0
PAUSE_SECONDS = 0.5
LOCK = ".secret.key.lock"


@dataclass(slots=True)
class Tally:
    """What was encrypted anew, and the rows that none of the keys opens."""

    rows: int = 0
    files: int = 0
    lost: list[str] = field(default_factory=list)


@click.group()
def secrets() -> None:
    """Change the key that secrets are encrypted with."""


@secrets.command()
@click.option(
    "--grace",
    type=click.FloatRange(0, 3600),
    default=GRACE_SECONDS,
    show_default=True,
    help="Seconds that the old key stays at least, for whoever is just writing with it.",
)
@options.as_json
@options.data_dir
@click.pass_context
def rotate(context: click.Context, grace: float, as_data: bool, data_dir: Path | None) -> None:
    """Encrypt every secret with a new key; what runs goes on, and an interrupted run is continued by another.

    A key in `secret.key` is drawn anew and the old one removed at the end. One that comes from CASCADE_SECRET_KEY or
    config.yaml is yours to change: put the new key before the old one, restart everything, run this, remove the old one.
    The last line is how many secrets were encrypted anew; exit code 1: some can't be read with any key, and the old
    ones stay.
    """
    with opened(data_dir) as place, _alone(place.settings):
        _prepare(place.settings)
        tally = _reseal_all(place, grace)
        _finish(place.settings, tally)
        if as_data:
            as_json({"rows": tally.rows, "files": tally.files, "unreadable": tally.lost})
        else:
            result(tally.rows + tally.files)
        context.exit(1 if tally.lost else 0)


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Hold the place against a second rotation. Raises `ConfigurationError` while one is under way."""
    with (settings.data_dir / LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError("rotation_under_way") from None
        yield


def _prepare(settings: Settings) -> None:
    """See to it that there is a new key before the old one. Raises `ConfigurationError` when that is a person's to do."""
    keys = build_secret_keys(settings).current()
    if settings.secret_key_file is None:
        if len(keys) == 1:
            raise ConfigurationError("secret_key_is_yours")
        return
    if len(keys) > 1:
        note(say("rotation_continued"))
        return
    write_durably(settings.secret_key_file, f"{token_urlsafe(48)},{keys[0]}\n")
    note(say("key_drawn", path=settings.secret_key_file))


def _reseal_all(place: Place, grace: float) -> Tally:
    """Go over everything until nothing is left, at least as long as somebody may still write with the old key."""
    tally, cipher, began = Tally(), build_cipher(place.settings), time.monotonic()
    while True:
        late = time.monotonic() - began >= grace
        tally.lost.clear()
        changed = _reseal_rows(place.engine, cipher, tally)
        changed += _reseal_files(place.settings, cipher, tally)
        if late and not changed:
            return tally
        if not changed:
            time.sleep(min(PAUSE_SECONDS, grace))


def _reseal_rows(engine: Engine, cipher: Cipher, tally: Tally) -> int:
    changed = 0
    for sealed in sealed_columns():
        after: str | None = ""
        while after is not None:
            part = transact(
                engine,
                lambda session, sealed=sealed, after=after: reseal_part(session, cipher, sealed, after, ROWS),  # type: ignore[misc]
            )
            changed += part.changed
            tally.lost += [f"{sealed.name} {one}" for one in part.lost]
            after = part.last
    tally.rows += changed
    return changed


def _reseal_files(settings: Settings, cipher: Cipher, tally: Tally) -> int:
    changed = 0
    for directory in _outboxes(settings):
        try:
            changed += Outbox(directory, cipher).reseal()
        except ConfigurationError:
            tally.lost.append(str(directory))
    tally.files += changed
    return changed


def _outboxes(settings: Settings) -> list[Path]:
    top = settings.outbox_dir
    return sorted(one for one in top.iterdir() if one.is_dir()) if top.is_dir() else []


def _finish(settings: Settings, tally: Tally) -> None:
    """Remove the old keys, or say what a person has to do."""
    keys = build_secret_keys(settings).current()
    if tally.lost:
        note(say("secrets_unreadable", count=len(tally.lost)))
        for one in tally.lost:
            note(f"  {one}")
    elif settings.secret_key_file is None:
        note(say("remove_old_key"))
    else:
        write_durably(settings.secret_key_file, keys[0] + "\n")
        note(say("old_key_removed"))
