"""${message}."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from backend.store.columns import UtcDateTime, ascii_key, long_text

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    raise NotImplementedError("migrations go forward only; restore a backup instead")
