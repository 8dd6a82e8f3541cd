"""The report's texts in Spanish or English (``texts.yaml``), and numbers as each language writes them."""

from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Literal

import yaml

Language = Literal["es", "en"]


@cache
def dictionary() -> dict[str, dict[str, str]]:
    """All of ``texts.yaml``: by key, the text in each language."""
    return yaml.safe_load(Path(__file__).with_name("texts.yaml").read_text("utf-8"))


class Texts:
    """``texts("section.cost")`` is a text of the report, its ``{places}`` filled; a KeyError where there is none."""

    def __init__(self, language: Language) -> None:
        self.language = language

    def __call__(self, key: str, **values: object) -> str:
        return dictionary()[key][self.language].format(**values)

    def get(self, key: str) -> str:
        """The text under ``key``, or nothing where there is none."""
        return dictionary().get(key, {}).get(self.language, "")

    def name(self, family: str, name: str) -> str:
        """What users call ``name`` within a family of keys (``variant``, ``metric`` ...); without an entry, itself."""
        key = f"{family}.{name}"
        return self.get(key) if key in dictionary() else name

    def metric(self, metric: str, suite: str) -> str:
        """What a metric is called; the credit of a suite may be one measure alone."""
        return self.get(f"metric.{suite}.{metric}") or self.name("metric", metric)

    def part(self, part: str) -> str:
        """A part of a suite: empty for the whole, a setting, or a task in words."""
        kind, _, name = part.partition(":")
        return self.name("task", name) if kind == "task" else self.name("part", part)

    def suite(self, suite: str, part: str = "all") -> str:
        """A suite, and which part of it."""
        return ", ".join(filter(None, (self.name("suite", suite), self.part(part))))

    def number(self, value: float, digits: int = 1) -> str:
        """Spanish writes a decimal comma and groups with a thin space, English a point and a comma."""
        text = f"{value:,.{digits}f}".replace("-", "−")
        if text.strip("−0.,") == "":
            text = text.lstrip("−")
        return text if self.language == "en" else text.replace(",", "\u202f").replace(".", ",")

    def tick(self, value: float) -> str:
        """A number of an axis, as short as it is."""
        return f"{value:g}".replace(".", "," if self.language == "es" else ".")

    def value(self, value: float, unit: str) -> str:
        """A measured value with its unit: shares as percentages."""
        if unit == "share":
            return f"{self.number(100 * value, 0 if value in (0, 1) else 1)}\u00a0%"
        return self.number(value, {"bits/byte": 3, "points": 1}.get(unit, 1))

    def change(self, value: float, unit: str) -> str:
        """A difference with its sign: of shares, in percentage points."""
        sign = "+" if value > 0 else ""
        if unit == "share":
            return f"{sign}{self.number(100 * value)}\u00a0{self('points')}"
        return sign + self.value(value, unit)

    def interval(self, low: float | None, high: float | None, unit: str, form: str = "range") -> str:
        """Both ends of an interval; empty where there is none. ``form``: ``interval`` is for use in a sentence."""
        if low is None or high is None:
            return "" if form == "range" else self("no-interval")
        return self(form, low=self.value(low, unit).removesuffix("\u00a0%"), high=self.value(high, unit))

    def probability(self, p: float) -> str:
        """A p value, never as an impossible zero."""
        return f"p < {self.number(0.001, 3)}" if p < 0.001 else f"p = {self.number(p, 3)}"

    def measured(self, value: float | None, digits: int = 1) -> str:
        """A number that may not have been measured, and then says so instead of showing a zero."""
        return self("not-measured") if value is None else self.number(value, digits)

    def duration(self, seconds: float) -> str:
        """Hours, minutes and seconds; tenths below a minute."""
        return f"{self.number(seconds)}\u00a0s" if seconds < 60 else str(timedelta(seconds=round(seconds)))
