"""What a look of `check` gives."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found about one subject; `fix` says what to do when it is a problem, or with `warns` only what would be better."""

    subject: str
    detail: str
    fix: str = ""
    warns: bool = False

    @property
    def problem(self) -> bool:
        """Whether something is wrong."""
        return bool(self.fix) and not self.warns
