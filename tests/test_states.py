"""The life cycles: pictures equal code, and the code's own rules."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path

import pytest

from backend.domain import states
from backend.domain.states import LIFE_CYCLES

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "states.md"
ENUMS: dict[str, type[StrEnum]] = {
    "allocation": states.AllocationState,
    "work_item": states.ItemState,
    "delivery": states.DeliveryState,
    "run": states.RunState,
    "tick": states.TickState,
    "publish_task": states.PublishState,
}


def drawn_arrows() -> dict[str, set[tuple[str, str]]]:
    """By noun, the arrows of its picture; `[*]` stands for start and end."""
    sections = re.findall(
        r"^## (\w+)$.*?^```mermaid\nstateDiagram-v2\n(.*?)^```$",
        DOCUMENT.read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    arrow = re.compile(r"^\s+(\S+) --> (\S+?)(?:: .+)?$", re.MULTILINE)
    return {noun: set(arrow.findall(picture)) for noun, picture in sections}


def test_every_life_cycle_has_a_picture() -> None:
    assert drawn_arrows().keys() == LIFE_CYCLES.keys() == ENUMS.keys()


@pytest.mark.parametrize("noun", LIFE_CYCLES)
def test_the_picture_shows_exactly_the_legal_moves(noun: str) -> None:
    cycle = LIFE_CYCLES[noun]
    moves = {(source, target) for source, targets in cycle.moves.items() for target in targets}
    ends = {(final, "[*]") for final in cycle.finals}
    assert drawn_arrows()[noun] == moves | ends | {("[*]", start) for start in cycle.starts}


@pytest.mark.parametrize("noun", LIFE_CYCLES)
def test_every_arrow_but_first_and_last_says_why(noun: str) -> None:
    section = DOCUMENT.read_text(encoding="utf-8").split(f"\n## {noun}\n")[1].split("\n## ")[0]
    moves = [line for line in section.splitlines() if "-->" in line and "[*]" not in line]
    assert [line for line in moves if ": " not in line] == []


@pytest.mark.parametrize("noun", LIFE_CYCLES)
def test_moves_lead_only_to_named_states_and_every_state_is_reached(noun: str) -> None:
    cycle = LIFE_CYCLES[noun]
    assert cycle.states == {state.value for state in ENUMS[noun]}
    reached = {target for targets in cycle.moves.values() for target in targets} | cycle.starts
    assert reached == cycle.states
