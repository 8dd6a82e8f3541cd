"""Which data licences a mixture may use.

The allow-list holds licences that permit commercial use of a model trained on the data. Everything else,
non-commercial and unstated licences included, is refused unless the mixture names it in ``allow_licenses``.
This is a filter, no legal opinion.
"""

import re

ALLOWED = frozenset(
    {
        "apache-2.0", "mit", "bsd-3-clause", "bsd-2-clause", "cc0-1.0", "pddl", "odc-by", "cdla-permissive-2.0",
        "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "public-domain",
    }
)  # fmt: skip


def normalise(license: str) -> str:
    """``"CC BY-SA 4.0"`` -> ``"cc-by-sa-4.0"``, ``"Apache License 2.0"`` -> ``"apache-2.0"``."""
    name = re.sub(r"[\s_]+", "-", license.strip().lower())
    name = re.sub(r"-?(licen[sc]e|version)-?", "-", name).strip("-")
    return re.sub(r"^(apache)-?v?(\d)", r"\1-\2", name)


def refusal(license: str, allow: list[str]) -> str | None:
    """Why rows under ``license`` may not be used, or None when they may.

    Args:
        allow: licences the mixture asks for by name on top of `ALLOWED`.
    """
    name = normalise(license)
    if name in ALLOWED or name in {normalise(extra) for extra in allow}:
        return None
    if not name or name in {"unknown", "other"}:
        return "its licence is not stated"
    if "-nc" in name or "noncommercial" in name or "non-commercial" in name:
        return f"its licence {license} forbids commercial use"
    return f"its licence {license} is not on the allow-list"
