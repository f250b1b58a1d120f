"""The parts of a plugin as the gateway reads them; what is wrong with them the gateway says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_FOLDERS = ("middleware", "controllers", "hooks", "events", "jobs", "widgets")

# Other names that keys of an entry are met under.
_ALIASES: dict[str, dict[str, str]] = {
    "controllers": {"roles": "allowed_roles", "handler": "function", "url": "path"},
    "hooks": {"name": "hook_name", "type": "hook_type"},
    "events": {"event": "event_name", "order": "priority"},
    "middleware": {"order": "priority"},
    "jobs": {"schedule": "cron"},
    "widgets": {"id": "widget_id", "name": "widget_name"},
}

_DECORATOR = re.compile(
    r"^@(?:\w+\.)*(?:controller|hook|job|listener|middleware|on_event|on_hook)\b", re.MULTILINE
)


def parts_of(directory: Path, manifest: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """What the files of a plugin are registered for.

    Args:
        directory: The plugin's directory.
        manifest: What its manifest says.

    Returns:
        The enabled entries by folder.
    """
    parts: dict[str, list[dict[str, Any]]] = {}
    for folder in _FOLDERS:
        written = manifest.get(folder) or {}
        if isinstance(written, dict):
            written = [{**entry, "file": file} for file, entry in written.items()]
        entries = [_normal(folder, entry) for entry in written]
        named = {entry["file"] for entry in entries}
        for file in sorted((directory / folder).glob("[!_.]*.py")):
            if file.name not in named and _DECORATOR.search(file.read_text()):
                entries.append({"file": file.name})
        enabled = [entry for entry in entries if entry.get("is_enabled", True)]
        if enabled:
            parts[folder] = enabled
    return parts


def files_of(parts: dict[str, list[dict[str, Any]]]) -> list[str]:
    """The files that are imported with the plugin.

    Args:
        parts: What `parts_of` gave.

    Returns:
        Their paths below its directory, each once.
    """
    files = [
        f"{folder}/{entry['file']}"
        for folder, entries in parts.items()
        for entry in entries
        if entry.get("scope") != "frontend" and entry["file"].endswith(".py")
    ]
    return list(dict.fromkeys(files))


def _normal(folder: str, entry: dict[str, Any]) -> dict[str, Any]:
    normal: dict[str, Any] = {}
    for written, value in entry.items():
        snake = re.sub(r"(?<!^)(?=[A-Z])", "_", written).replace("-", "_").lower()
        alias = _ALIASES[folder].get(snake, snake)
        normal[snake if folder == "jobs" and snake == "name" else alias] = value
    if "." not in normal["file"]:
        normal["file"] += ".py"
    return normal
