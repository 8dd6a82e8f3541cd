"""The report's texts in Spanish or English (``texts.yaml``), and numbers as each language writes them."""

from datetime import timedelta
from pathlib import Path
from typing import Literal

import yaml

Language = Literal["es", "en"]
TEXTS: dict[str, dict[str, str]] = yaml.safe_load(Path(__file__).with_name("texts.yaml").read_text("utf-8"))


class Texts:
    """``texts("section.cost")`` is a text of the report, its ``{places}`` filled; an unknown key is a KeyError."""

    def __init__(self, language: Language) -> None:
        self.language = language

    def __call__(self, key: str, **values: object) -> str:
        return TEXTS[key][self.language].format(**values)

    def get(self, key: str, default: str = "") -> str:
        return TEXTS[key][self.language] if key in TEXTS else default

    def name(self, family: str, name: str) -> str:
        """What users call ``name`` within a family of keys (``variant``, ``metric`` ...); without an entry, itself."""
        return self.get(f"{family}.{name}", name)

    def place(self, model: str, variant: str, *more: str) -> str:
        return ", ".join(filter(None, (model, self.name("variant", variant), *more)))

    def part(self, part: str) -> str:
        """A part of a suite: empty for the whole, a setting, or a task in words."""
        kind, _, name = part.partition(":")
        return self.name("task", name) if kind == "task" else self.name("part", part)

    def suite(self, suite: str, part: str) -> str:
        return ", ".join(filter(None, (self.name("suite", suite), self.part(part))))

    def title(self, suite: str, metric: str, part: str) -> str:
        return f"{self.suite(suite, part)}: {self.name('metric', metric)}"

    def number(self, value: float, digits: int = 1) -> str:
        """Spanish writes a decimal comma and groups with a thin space, English a point and a comma."""
        text = f"{value:,.{digits}f}".replace("-", "−")
        if text.strip("−0.,") == "":
            text = text.lstrip("−")
        return text if self.language == "en" else text.replace(",", "\u202f").replace(".", ",")

    def tick(self, value: float) -> str:
        """A number of an axis, as short as possible."""
        return f"{value:g}".replace(".", "," if self.language == "es" else ".")

    def value(self, value: float, unit: str) -> str:
        """A measured value with its unit: shares as percentages."""
        if unit == "share":
            return f"{self.number(100 * value, 0 if value in (0, 1) else 1)}\u00a0%"
        return self.number(value, 3 if unit == "bits/byte" else 1)

    def change(self, value: float, unit: str) -> str:
        """A difference with its sign: of shares, in percentage points."""
        text = f"{self.number(100 * value)}\u00a0{self('points')}" if unit == "share" else self.value(value, unit)
        return f"+{text}" if value > 0 else text

    def interval(self, low: float | None, high: float | None, unit: str, form: str = "range") -> str:
        """Both ends of an interval, if there are any; ``range`` is the form for tables, ``interval`` for sentences."""
        if low is None or high is None:
            return "" if form == "range" else self("no-interval")
        return self(form, low=self.value(low, unit).removesuffix("\u00a0%"), high=self.value(high, unit))

    def span(self, low: str, high: str) -> str:
        return low if low == high else self("range", low=low, high=high)

    def probability(self, p: float) -> str:
        """A p value, never as an impossible zero."""
        return f"p < {self.number(0.001, 3)}" if p < 0.001 else f"p = {self.number(p, 3)}"

    def measured(self, value: float | None, digits: int = 1) -> str:
        return self("not-measured") if value is None else self.number(value, digits)

    def duration(self, seconds: float) -> str:
        """Hours, minutes and seconds; tenths below a minute."""
        return f"{self.number(seconds)}\u00a0s" if seconds < 60 else str(timedelta(seconds=round(seconds)))
