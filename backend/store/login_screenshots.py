"""What the pages of logins showed when only a person could go on: the newest of each account, encrypted."""

from __future__ import annotations

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from backend.store.cipher import Cipher
from backend.store.columns import now
from backend.store.tables import LoginScreenshot, core

SCREENSHOTS = core(LoginScreenshot)


def keep(session: Session, cipher: Cipher, account_id: str, image: str) -> None:
    """Keep it instead of an older one; `image` is a JPEG in base64."""
    forget(session, account_id)
    values = {"account_id": account_id, "image": cipher.encrypt(image), "taken_at": now()}
    session.execute(insert(SCREENSHOTS).values(**values))


def find(session: Session, cipher: Cipher, account_id: str) -> str | None:
    """The account's screenshot, as it was kept."""
    stored = session.scalar(select(SCREENSHOTS.c.image).where(SCREENSHOTS.c.account_id == account_id))
    return None if stored is None else cipher.decrypt(stored)


def forget(session: Session, account_id: str) -> None:
    """The account is logged in, or gone."""
    session.execute(delete(SCREENSHOTS).where(SCREENSHOTS.c.account_id == account_id))
