"""Tables, JSON and charts from measured rows."""

from __future__ import annotations

import html
import json
from pathlib import Path
from statistics import median
from typing import Any

COLUMNS = ("calls_per_second", "p50_ms", "p99_ms", "cpu_us_per_call", "rss_mb")


def summarise(rounds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The median of each figure per load and server, with the ratio to the gateway's calls/s."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rounds:
        groups.setdefault((row["load"], row["server"]), []).append(row)
    rows = []
    for (load, server), members in groups.items():
        row: dict[str, Any] = {"load": load, "server": server, "rounds": len(members)}
        row |= {column: median(member[column] for member in members) for column in COLUMNS}
        row["failed"] = sum(member["failed"] for member in members)
        ours = {m["round"]: m for m in groups.get((load, "gateway"), [])}
        pairs = [(ours[m["round"]], m) for m in members if m["round"] in ours]
        if pairs:
            row["gateway_calls_ratio"] = median(
                a["calls_per_second"] / max(b["calls_per_second"], 1e-9) for a, b in pairs
            )
            row["gateway_p99_ratio"] = median(
                b["p99_ms"] / max(a["p99_ms"], 1e-9) for a, b in pairs
            )
        rows.append(row)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """A Markdown table; the last two columns say how the gateway compares with the row's server."""
    lines = [
        "| load | server | calls/s | p50 ms | p99 ms | CPU µs/call | RSS MB | failed "
        "| gateway's calls/s | gateway's p99 |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        calls, p99 = row.get("gateway_calls_ratio"), row.get("gateway_p99_ratio")
        lines.append(
            f"| {row['load']} | {row['server']} | {row['calls_per_second']:,.0f} "
            f"| {row['p50_ms']:.2f} | {row['p99_ms']:.2f} | {row['cpu_us_per_call']:.1f} "
            f"| {row['rss_mb']:.0f} | {row['failed']} "
            f"| {f'{calls:.1f}×' if calls else ''} | {f'{p99:.1f}× lower' if p99 else ''} |"
        )
    return "\n".join(lines)


def chart(rows: list[dict[str, Any]], load: str) -> str:
    """A bar chart of calls/s for one load, as SVG."""
    bars = sorted(
        (row for row in rows if row["load"] == load), key=lambda row: -row["calls_per_second"]
    )
    most = max(row["calls_per_second"] for row in bars)
    height = 40 + 28 * len(bars)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="720" height="{height}" '
        'font-family="sans-serif" font-size="13">',
        f'<text x="8" y="20" font-weight="bold">{html.escape(load)}: calls per second</text>',
    ]
    for index, row in enumerate(bars):
        top = 34 + 28 * index
        width = 420 * row["calls_per_second"] / most
        colour = "#2a6f97" if row["server"] in ("gateway", "ceiling") else "#a9b4c0"
        parts.append(f'<text x="8" y="{top + 15}">{html.escape(row["server"])}</text>')
        parts.append(f'<rect x="170" y="{top}" width="{width:.0f}" height="20" fill="{colour}"/>')
        parts.append(
            f'<text x="{176 + width:.0f}" y="{top + 15}">{row["calls_per_second"]:,.0f}</text>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def write(
    rows: list[dict[str, Any]],
    alive: list[dict[str, Any]],
    text: str,
    facts: dict[str, Any],
    folder: Path,
) -> None:
    """Writes `results.json`, `results.md` (the tables of `text`) and a chart for each load."""
    folder.mkdir(parents=True, exist_ok=True)
    everything = json.dumps({"facts": facts, "rows": rows, "life": alive}, indent=1)
    (folder / "results.json").write_text(everything + "\n")
    (folder / "results.md").write_text(text + "\n")
    for load in dict.fromkeys(row["load"] for row in rows):
        name = "".join(c if c.isalnum() else "-" for c in load.lower()).strip("-")
        (folder / f"{name}.svg").write_text(chart(rows, load))
