"""What the parts say: rows of one table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    part: str
    what: str
    measured: str
    promised: str = ""
    # None where nothing is promised.
    held: bool | None = None

    def line(self) -> str:
        """As Markdown has it."""
        held = {True: "yes", False: "**no**", None: ""}[self.held]
        return f"| {self.part} | {self.what} | {self.measured} | {self.promised} | {held} |"


HEAD = "| part | what | measured | promised | held |\n|---|---|---|---|---|"


def spread(times_ms: Iterable[float], unit: str = "ms") -> str:
    """Median and largest."""
    times = list(times_ms)
    if not times:
        return "never seen"
    return f"median {median(times):.0f} {unit}, max {max(times):.0f} {unit} of {len(times)}"


def none_of(what: str, part: str, count: int, said: str = "none") -> Row:
    """Something that must not happen."""
    return Row(part, what, str(count), said, count == 0)


def at_most(part: str, what: str, measured: float, limit: float, unit: str, said: str = "") -> Row:
    """A figure with an upper bound."""
    text = said or f"{measured:.1f} {unit}"
    return Row(part, what, text, f"at most {limit:g} {unit}", measured <= limit)


def at_least(part: str, what: str, measured: float, limit: float, unit: str, said: str = "") -> Row:
    """A figure with a lower bound."""
    text = said or f"{measured:.2f} {unit}"
    return Row(part, what, text, f"at least {limit:g} {unit}", measured >= limit)
