"""What is told of an article or an account before anything is stored or sent: pure, over the publishers that are installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from backend.domain.errors import CascadeError, InvalidInput
from backend.domain.ports import Publisher
from backend.domain.publishing import Credentials, Manuscript

Publishers = Mapping[str, Publisher]
MAX_TITLE = 255


class Several(CascadeError):
    """Several troubles of one field, said one after the other."""

    def __init__(self, troubles: Sequence[CascadeError]) -> None:
        self.troubles = tuple(troubles)
        super().__init__(troubles[0].code)

    def sentence(self, language: str = "en") -> str:
        """All of them."""
        return " ".join(one.sentence(language) for one in self.troubles)


def check_platform(publishers: Publishers, platform: str) -> Publisher:
    """The platform's publisher. Raises `InvalidInput` where there is none here."""
    found = publishers.get(platform)
    if found is None:
        known = ", ".join(sorted(publishers)) or "-"
        raise InvalidInput(fields={"platform": InvalidInput("unknown_platform", known=known)})
    return found


def check_manuscript(publishers: Publishers, platform: str, manuscript: Manuscript) -> None:
    """Raise `InvalidInput` with what the platform can never take, or what can't be stored.

    A platform that is installed on its nodes only says so when the article is there.
    """
    found = publishers.get(platform)
    troubles = found.refusals(manuscript) if found else ()
    if len(manuscript.title) > MAX_TITLE and not any(one.code == "long_title" for one in troubles):
        long = InvalidInput("long_title", platform="Cascade", length=len(manuscript.title), limit=MAX_TITLE)
        troubles = (*troubles, long)
    if troubles:
        raise InvalidInput(fields={"article": Several(troubles)})


def check_credentials(publishers: Publishers, platform: str, credentials: Credentials) -> None:
    """Raise `InvalidInput` for an unknown platform, or with what the credentials lack for it."""
    troubles = check_platform(publishers, platform).credential_troubles(credentials)
    if troubles:
        raise InvalidInput(fields={"credentials": Several(troubles)})
