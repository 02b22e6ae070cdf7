"""A cron expression in words, in English and Chinese."""

from __future__ import annotations

import re
from functools import lru_cache

from cron_descriptor import ExpressionDescriptor, FormatException, MissingFieldException, Options

LOCALES = {"en": "en_US", "zh": "zh_CN"}
# The library leaves the names of days and months in English.
CHINESE_NAMES = {
    "Monday": "星期一",
    "Tuesday": "星期二",
    "Wednesday": "星期三",
    "Thursday": "星期四",
    "Friday": "星期五",
    "Saturday": "星期六",
    "Sunday": "星期日",
    "January": "1 月",
    "February": "2 月",
    "March": "3 月",
    "April": "4 月",
    "May": "5 月",
    "June": "6 月",
    "July": "7 月",
    "August": "8 月",
    "September": "9 月",
    "October": "10 月",
    "November": "11 月",
    "December": "12 月",
}
_NAME = re.compile("|".join(CHINESE_NAMES))
_STEP_FROM = re.compile(r"(\d+)/")
LAST_VALUES = ("59", "23", "31", "12", "6")
BY_HAND = {"en": "By hand", "zh": "手动执行"}


@lru_cache(maxsize=1024)
def in_words(cron: str, language: str) -> str:
    """The checked expression as a sentence; what can't be put into words stays as it is."""
    if not cron:
        return BY_HAND[language]
    options = Options()
    options.locale_code = LOCALES[language]
    options.use_24hour_time_format = True
    try:
        words: str = ExpressionDescriptor(_spelled_out(cron), options).get_description()
    except (FormatException, MissingFieldException):
        return cron
    if _both_days(cron):
        words = words.replace(", or on ", ", only on ").replace("或", "仅在")
    return _chinese(words) if language == "zh" else words


def _spelled_out(cron: str) -> str:
    # The Chinese words would leave the start of 5/10 out.
    fields = zip(cron.split(), LAST_VALUES, strict=True)
    return " ".join(
        _STEP_FROM.sub(rf"\1-{last}/", field) if "-" not in field else field for field, last in fields
    )


def _both_days(cron: str) -> bool:
    """Whether day and weekday must both match, which the library does not know: one of them starts with `*`."""
    day, weekday = cron.split()[2], cron.split()[4]
    return day.startswith("*") or weekday.startswith("*")


def _chinese(words: str) -> str:
    named = _NAME.sub(lambda found: CHINESE_NAMES[found[0]], words).replace(", ", "，")
    close = re.sub(r"(?<=[\u4e00-\u9fff]) +(?=[\u4e00-\u9fff])| +$", "", named)
    return re.sub(r"在(第.个星期.)每月", r"每月的\1", close)
