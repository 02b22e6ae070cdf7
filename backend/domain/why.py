"""Why something waits: a code with facts, said in one sentence of either language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from backend.domain.messages import render


@dataclass(frozen=True, slots=True)
class Why:
    """One reason. Parameters may be texts, numbers, moments (shown in UTC), or reasons of their own."""

    code: str
    params: Mapping[str, object] = field(default_factory=dict)

    def sentence(self, language: str = "en") -> str:
        """The reason in `en` or `zh`."""
        said = {name: _said(value, language) for name, value in self.params.items()}
        return render(self.code, language, said)


def _said(value: object, language: str) -> object:
    if isinstance(value, Why):
        return value.sentence(language)
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S} UTC"
    if isinstance(value, tuple):
        return ("；" if language == "zh" else "; ").join(str(_said(one, language)) for one in value)
    return value
