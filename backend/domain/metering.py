"""What a template may spend: every operation is weighed before it happens, without threads, signals or a clock.

One step per value inside an operand (nested values count as often as they are reached, so shared structures
can't hide their size) and one step per `CHARACTERS` characters that an operation makes. What can blow up without
showing it in its operands (`*`, `**`, `%`) is estimated first.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, ItemsView, Iterator, KeysView, ValuesView
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

STEPS = 1_500_000
CHARACTERS = 8
MAX_BITS = 2048
TOO_MUCH = "the template asks for too much work (nested loops, or very long values)"


_COLLECTIONS = (list, tuple, set, frozenset, range, KeysView, ValuesView, ItemsView)


class Exhausted(RuntimeError):
    """The template asked for more work or text than it may have."""


class Budget:
    """Steps that one rendering may still spend."""

    def __init__(self, steps: int = STEPS) -> None:
        self.steps = steps

    def spend(self, steps: float) -> None:
        """Take steps away. Raises `Exhausted` when there are not enough."""
        self.steps -= int(steps) + 1
        if self.steps < 0:
            raise Exhausted(TOO_MUCH)

    def make_text(self, characters: float) -> None:
        """Pay for text that is about to be made or searched."""
        self.spend(characters / CHARACTERS)

    def weigh(self, value: object) -> int:
        """Pay for every value inside `value`; returns how many characters it holds."""
        characters = 0
        waiting = [value]
        while waiting:
            each = waiting.pop()
            self.steps -= 1
            if isinstance(each, str):
                characters += len(each)
                continue
            characters += 24
            if isinstance(each, dict):
                waiting.extend(each)
                waiting.extend(each.values())
            elif isinstance(each, _COLLECTIONS):
                self.spend(len(each) / 16)
                waiting.extend(each)
            if self.steps < 0:
                raise Exhausted(TOO_MUCH)
        return characters


_budget: ContextVar[Budget] = ContextVar("template_budget")


def spending() -> Budget:
    """The budget of the rendering that is under way."""
    return _budget.get()


@contextmanager
def budgeted(steps: int = STEPS) -> Iterator[None]:
    """Inside the block there is so much to spend."""
    token = _budget.set(Budget(steps))
    try:
        yield
    finally:
        _budget.reset(token)


_FORMAT = re.compile(r"%(?:\([^)]*\))?[#0\- +]*(?P<width>\*|\d*)(?:\.(?P<precision>\*|\d*))?")


def percent(left: object, right: object) -> object:
    """`left % right`; a text's field widths and total length are bounded."""
    if not isinstance(left, str):
        return operator.mod(left, right)
    for found in _FORMAT.finditer(left):
        for number in found.groups(default=""):
            if number == "*" or len(number) > 3:
                raise Exhausted("a field in a format is wider than 999 characters")
    budget = spending()
    size = max(999, budget.weigh(right))
    budget.make_text(len(left) + left.count("%") * size)
    return left % right


def _multiply(left: Any, right: Any) -> object:
    for sequence, times in ((left, right), (right, left)):
        if isinstance(sequence, str | list | tuple) and isinstance(times, int):
            spending().spend(len(sequence) * max(times, 0))
    _bounded(_bits(left) + _bits(right))
    return left * right


def _power(left: Any, right: Any) -> object:
    if isinstance(left, int) and isinstance(right, int):
        _bounded(_bits(left) * max(right, 0))
    return left**right


def _add(left: Any, right: Any) -> object:
    for part in (left, right):
        if isinstance(part, str | list | tuple):
            spending().spend(len(part) / (CHARACTERS if isinstance(part, str) else 1))
    return left + right


def _bits(value: object) -> int:
    return value.bit_length() if isinstance(value, int) else 0


def _bounded(bits: int) -> None:
    if bits > MAX_BITS:
        raise Exhausted("a number is too large")


BINARY: dict[str, Callable[[Any, Any], object]] = {
    "+": _add,
    "*": _multiply,
    "**": _power,
    "%": percent,
}
