"""Tables, JSON and charts from measured rows."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

OURS = "gateway"


@dataclass(frozen=True)
class Column:
    """A figure of the table. A row may lack it."""

    key: str
    title: str
    digits: int
    # The heading under which the gateway is compared with the row's server; unset: it is not.
    ratio: str | None = None
    less_is_better: bool = False

    @property
    def ratio_key(self) -> str:
        """Where a summarised row has the comparison."""
        return f"gateway_{self.key}_ratio"

    def compare(self, ours: float, theirs: float) -> float:
        """How many times better ours is."""
        better, worse = (ours, theirs) if self.less_is_better else (theirs, ours)
        return worse / max(better, 1e-9)


def summarise(rounds: list[dict[str, Any]], columns: Sequence[Column]) -> list[dict[str, Any]]:
    """The median of each figure per load and server, with the ratios to the gateway's."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rounds:
        groups.setdefault((row["load"], row["server"]), []).append(row)
    rows = []
    for (load, server), members in groups.items():
        row: dict[str, Any] = {"load": load, "server": server, "rounds": len(members)}
        row["failed"] = sum(member["failed"] for member in members)
        ours = {m["round"]: m for m in groups.get((load, OURS), [])}
        pairs = [(ours[m["round"]], m) for m in members if m["round"] in ours]
        for column in columns:
            key = column.key
            if any(key not in member for member in members):
                continue
            row[key] = median(member[key] for member in members)
            if pairs and column.ratio:
                row[column.ratio_key] = median(column.compare(a[key], b[key]) for a, b in pairs)
        rows.append(row)
    return rows


def table(rows: list[dict[str, Any]], columns: Sequence[Column]) -> str:
    """A Markdown table; the last columns say how the gateway compares with the row's server."""
    compared = [column for column in columns if column.ratio]
    titles = ["load", "server", *(column.title for column in columns), "failed"]
    titles += [f"gateway's {column.ratio}" for column in compared]
    lines = [f"| {' | '.join(titles)} |", f"|---|---|{'---:|' * (len(titles) - 2)}"]
    for row in rows:
        cells = [row["load"], row["server"]]
        for column in columns:
            value = row.get(column.key)
            cells.append("" if value is None else f"{value:,.{column.digits}f}")
        cells.append(str(row["failed"]))
        for column in compared:
            ratio = row.get(column.ratio_key)
            word = " lower" if column.less_is_better else ""
            cells.append("" if ratio is None else f"{ratio:.1f}×{word}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def chart(rows: list[dict[str, Any]], load: str, column: Column) -> str:
    """A bar chart of one figure of one load, the best first, as SVG."""
    bars = [row for row in rows if row["load"] == load and column.key in row]
    bars.sort(key=lambda row: row[column.key], reverse=not column.less_is_better)
    most = max(row[column.key] for row in bars) or 1
    height = 40 + 28 * len(bars)
    title = f"{load}: {column.title}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="720" height="{height}" '
        'font-family="sans-serif" font-size="13">',
        f'<text x="8" y="20" font-weight="bold">{html.escape(title)}</text>',
    ]
    for index, row in enumerate(bars):
        top = 34 + 28 * index
        value = row[column.key]
        width = 420 * value / most
        colour = "#2a6f97" if row["server"] in (OURS, "ceiling") else "#a9b4c0"
        parts.append(f'<text x="8" y="{top + 15}">{html.escape(row["server"])}</text>')
        parts.append(f'<rect x="170" y="{top}" width="{width:.0f}" height="20" fill="{colour}"/>')
        label = f"{value:,.{column.digits}f}"
        parts.append(f'<text x="{176 + width:.0f}" y="{top + 15}">{label}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def write(
    rounds: list[dict[str, Any]],
    facts: dict[str, Any],
    columns: Sequence[Column],
    charted: dict[str, Column],
    folder: Path,
) -> str:
    """Writes `results.json`, `results.md` and a chart a load of `charted`; gives the table."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = summarise(rounds, columns)
    text = json.dumps({"facts": facts, "rows": rows, "measured": rounds}, indent=1)
    (folder / "results.json").write_text(text + "\n")
    made = table(rows, columns)
    (folder / "results.md").write_text(made + "\n")
    for load, column in charted.items():
        name = "".join(c if c.isalnum() else "-" for c in load.lower()).strip("-")
        (folder / f"{name}.svg").write_text(chart(rows, load, column))
    return made
