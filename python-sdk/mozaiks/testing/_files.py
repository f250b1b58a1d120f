"""Files of plugins in tests: kept in memory, by the gateway's rules for paths."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from mozaiks import _json
from mozaiks.errors import HostError, PermissionDenied

# The largest file, in bytes, as the gateway has it where nothing else is configured.
_MAX_FILE = 16 << 20


@dataclass(frozen=True)
class _Entry:
    # None for a directory.
    content: bytes | None
    modified_at: int


class MemoryFiles:
    """What plugins have written, by app and plugin."""

    def __init__(self) -> None:
        self._trees: dict[tuple[str, str], dict[str, _Entry]] = defaultdict(dict)

    def written(self, plugin: str, app_id: str = "default") -> dict[str, bytes]:
        """What a plugin has written.

        Args:
            plugin: Its name.
            app_id: In which app.

        Returns:
            The files' contents by their paths.
        """
        tree = self._trees[app_id, plugin]
        return {
            path: entry.content for path, entry in sorted(tree.items()) if entry.content is not None
        }

    def request(self, app_id: str, plugin: str, operation: str, payload: bytes) -> bytes:
        """Does what `ctx.files` asks for.

        Args:
            app_id: In which app.
            plugin: Which plugin.
            operation: What.
            payload: Its arguments, and the content.

        Returns:
            The answer.

        Raises:
            HostError: As the gateway would.
        """
        tree = self._trees[app_id, plugin]
        if operation == "files.write":
            end = 4 + int.from_bytes(payload[:4], "big")
            asked = _json.loads(payload[4:end])
            _write(tree, _path(asked["path"]), payload[end:], asked["append"])
            return b"true"
        asked = _json.loads(payload)
        path = _path(asked["path"])
        found = tree.get(path)
        if operation == "files.read":
            if found is None:
                raise HostError("NOT_FOUND", f"there is no {path!r}")
            if found.content is None:
                raise HostError("CONFLICT", f"{path!r} is a directory")
            return found.content
        if operation == "files.stat":
            if path == ".":
                return _json.dumps(_stat(path, _Entry(None, _now())))
            return _json.dumps(None if found is None else _stat(path, found))
        if operation == "files.mkdir":
            _make_directories(tree, path)
            return _json.dumps(found is None and path != ".")
        if operation == "files.delete":
            return _json.dumps(_delete(tree, path, asked["recursive"]))
        if operation == "files.list":
            if path != "." and found is None:
                raise HostError("NOT_FOUND", f"there is no {path!r}")
            return _json.dumps(_page(tree, path, asked))
        raise HostError("NOT_FOUND", f"mozaiks.testing has no stand-in for {operation}")


def _path(text: str) -> str:
    if text in ("", ".", "./"):
        return "."
    parts = text.removesuffix("/").split("/")
    if text.startswith("/") or "\\" in text or ".." in parts:
        details = {"permission": f"filesystem:{text}"}
        raise PermissionDenied(
            "PERMISSION_DENIED", f"the permission `{details['permission']}` is missing", details
        )
    if "" in parts or "." in parts or any(ord(letter) < 32 for letter in text):
        raise HostError("VALIDATION_ERROR", f"{text!r} is no path")
    return "/".join(parts)


def _now() -> int:
    return int(time.time())


def _stat(path: str, entry: _Entry) -> dict[str, Any]:
    return {
        "name": path.rpartition("/")[2],
        "path": path,
        "kind": "directory" if entry.content is None else "file",
        "size": len(entry.content or b""),
        "modified_at": entry.modified_at,
    }


def _make_directories(tree: dict[str, _Entry], path: str) -> None:
    if path in (".", ""):
        return
    _make_directories(tree, path.rpartition("/")[0])
    entry = tree.setdefault(path, _Entry(None, _now()))
    if entry.content is not None:
        raise HostError("CONFLICT", f"{path!r} is no directory")


def _write(tree: dict[str, _Entry], path: str, content: bytes, append: bool) -> None:
    if path == ".":
        raise HostError("VALIDATION_ERROR", "this is the plugin's directory itself")
    _make_directories(tree, path.rpartition("/")[0])
    before = tree.get(path)
    if before is not None and before.content is None:
        raise HostError("CONFLICT", f"{path!r} is a directory")
    if append and before is not None:
        content = (before.content or b"") + content
    if len(content) > _MAX_FILE:
        raise HostError("VALIDATION_ERROR", f"a file has at most {_MAX_FILE} bytes")
    tree[path] = _Entry(bytes(content), _now())


def _delete(tree: dict[str, _Entry], path: str, recursive: bool) -> bool:
    if path == ".":
        raise HostError("VALIDATION_ERROR", "this is the plugin's directory itself")
    if path not in tree:
        return False
    inner = [each for each in tree if each.startswith(f"{path}/")]
    if inner and not recursive:
        raise HostError("CONFLICT", f"{path!r} is not empty")
    for each in [path, *inner]:
        del tree[each]
    return True


def _page(tree: dict[str, _Entry], path: str, asked: dict[str, Any]) -> dict[str, Any]:
    beginning = "" if path == "." else f"{path}/"
    after, limit = asked.get("cursor") or "", asked.get("limit", 1000)
    names = sorted(
        each.removeprefix(beginning)
        for each in tree
        if each.startswith(beginning) and "/" not in each.removeprefix(beginning)
    )
    rest = [name for name in names if name > after]
    items = [_stat(beginning + name, tree[beginning + name]) for name in rest[:limit]]
    more = {"next_cursor": rest[limit - 1]} if len(rest) > limit else {}
    return {"items": items, **more}
