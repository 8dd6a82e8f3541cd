"""Does a figure of an answer stand in the article? Used by the verifier and by the assistant."""

from collections.abc import Sequence

from leylora.grounding.quantities import Quantity


def figure_fault(one: Quantity, said: str, known: Sequence[Quantity], items: int) -> tuple[str, str] | None:
    """What is wrong with a number of the answer ``said``, and its words; None if it holds.

    It must occur among ``known``, the article's, with the same unit, the same bound and the same kind of period, or
    count the article's ``items``.
    """
    words = said[one.start : one.end]
    same = [other for other in known if other.unit == one.unit or not one.unit]
    whole = [other for other in same if (other.low, other.high) == (one.low, one.high)]
    if one.high is None:
        lower = [other for other in same if other.high is not None and other.low == one.low and one.bound == "min"]
        upper = [other for other in same if other.high == one.low and one.bound == "max"]
        if lower or upper:
            return None
        if not whole and any(one.low in (other.low, other.high) for other in same):
            return "gives one end of a range as the whole", words
        if not whole and not one.unit and one.low == items > 1:
            return None
    if not whole:
        return "number is not in the article", words
    if one.bound and all(other.bound != one.bound for other in whole):
        return "calls a number a limit that it is not", said[max(0, one.start - 20) : one.end]
    if one.term and all(other.term and other.term != one.term for other in whole):
        return "mistakes plazo and término", f"{one.term}: {words}"
    return None
