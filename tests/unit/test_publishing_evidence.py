"""What the evidence about a submitted article means, as a table: rule 5 of the design, for every platform whose drafts keep their id."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.publishing import Presence
from backend.publishers.evidence import Evidence, Listed, State, decide

NOW = datetime(2026, 11, 26, tzinfo=UTC)
AFTER, BEFORE = NOW + timedelta(seconds=30), NOW - timedelta(hours=1)
OURS = Listed("7", "A title", AFTER)
OTHER_ID = Listed("8", "a  TITLE", AFTER)
OLDER = Listed("5", "A title", BEFORE)
KNOWN = Listed("6", "A title", AFTER)
ELSE = Listed("9", "Something else", AFTER)

THERE, NOT_THERE, UNKNOWN = Presence.THERE, Presence.NOT_THERE, Presence.UNKNOWN
TABLE = [
    # draft, listed, the answer, and why
    (State.PUBLISHED, None, THERE, "7"),  # its own state says so, whatever is hidden
    (State.DRAFT, (OURS,), THERE, "7"),  # the list knows its id before the draft does
    (State.DRAFT, (), NOT_THERE, ""),
    (
        State.DRAFT,
        (OTHER_ID,),
        NOT_THERE,
        "",
    ),  # the draft's id is the article's: another one is not it
    (State.DRAFT, None, UNKNOWN, ""),  # hidden lists
    (State.HIDDEN, None, UNKNOWN, ""),
    (State.HIDDEN, (), UNKNOWN, ""),  # perhaps not listed yet
    (State.HIDDEN, (OURS,), THERE, "7"),
    (State.HIDDEN, (OTHER_ID, ELSE), THERE, "8"),
    (State.HIDDEN, (OLDER, KNOWN, ELSE), UNKNOWN, ""),  # none that was not there before
    (State.GONE, (OTHER_ID, Listed("10", "A title", AFTER)), UNKNOWN, ""),  # which one?
    (State.GONE, (), UNKNOWN, ""),  # under review, or removed
]


@pytest.mark.parametrize("row", TABLE, ids=range(len(TABLE)))
def test_the_evidence_decides(row: tuple[State, tuple[Listed, ...] | None, Presence, str]) -> None:
    draft, listed, presence, article_id = row
    finding = decide(Evidence("Zhihu", "7", "A title", "https://z/7", draft, listed, ("6",), NOW))
    assert finding.presence is presence
    assert (finding.published.platform_id if finding.published else "") == article_id
    assert bool(finding.reason) is (presence is not THERE)


LISTED = st.builds(
    Listed,
    st.sampled_from("56789"),
    st.sampled_from(["A title", "Else"]),
    st.sampled_from([BEFORE, NOW, AFTER]),
)
EVIDENCE = st.builds(
    Evidence,
    st.just("Zhihu"),
    st.just("7"),
    st.just("A title"),
    st.just("https://z/7"),
    st.sampled_from(State),
    st.none() | st.lists(LISTED, max_size=4).map(tuple),
    st.just(("6",)),
    st.just(NOW),
)


@given(EVIDENCE)
def test_not_there_is_said_only_of_a_readable_draft_that_no_readable_list_holds(evidence: Evidence) -> None:
    finding = decide(evidence)
    if finding.presence is NOT_THERE:
        assert evidence.draft is State.DRAFT
        assert evidence.listed is not None
        assert "7" not in {one.id for one in evidence.listed}


@given(EVIDENCE)
def test_hiding_more_never_turns_doubt_into_absence(evidence: Evidence) -> None:
    for hidden in (
        dataclasses.replace(evidence, listed=None),
        dataclasses.replace(evidence, draft=State.HIDDEN),
    ):
        assert decide(hidden).presence is not NOT_THERE
