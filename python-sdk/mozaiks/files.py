"""Files of the plugin in the caller's app, which the gateway keeps.

What may be read and written stands under `filesystem` in the `permissions` of `plugin.json`.
"""

from __future__ import annotations

from typing import Any, cast

from mozaiks import _host, _json
from mozaiks.errors import HostError

__all__ = ["Files", "client"]


class Files:
    """Reads and writes files by their paths below the plugin's directory, such as `uploads/a.csv`.

    Every method raises `PermissionDenied` for a path that the plugin may not use, and `HostError`
    with `VALIDATION_ERROR` for one that is none, `CONFLICT` where something is in the way, and
    `NOT_FOUND` where nothing is that is needed.
    """

    async def read_bytes(self, path: str) -> bytes:
        """Reads a file.

        Args:
            path: Which.

        Returns:
            All of it.

        Raises:
            HostError: `NOT_FOUND` where there is none.
        """
        try:
            return bytes(await _host.get().request("files.read", _json.dumps({"path": path})))
        except HostError as error:
            raise _host.readable(error) from None

    async def read_text(self, path: str, encoding: str = "utf-8") -> str:
        """Reads a file as text.

        Args:
            path: Which.
            encoding: Its encoding.

        Returns:
            All of it.

        Raises:
            HostError: `NOT_FOUND` where there is none.
            UnicodeDecodeError: Where it is no such text.
        """
        return (await self.read_bytes(path)).decode(encoding)

    async def write_bytes(self, path: str, content: bytes) -> None:
        """Puts a file there, with the directories above it; another in its place goes at once.

        Args:
            path: Which.
            content: All of it, at most `files_max_bytes` of the gateway's settings.

        Raises:
            QuotaExceeded: What the plugin may store is used up.
        """
        await self._write(path, content, append=False)

    async def write_text(self, path: str, content: str, encoding: str = "utf-8") -> None:
        """As `write_bytes`, with text.

        Args:
            path: Which.
            content: All of it.
            encoding: How it is written.

        Raises:
            QuotaExceeded: What the plugin may store is used up.
        """
        await self.write_bytes(path, content.encode(encoding))

    async def append(self, path: str, content: bytes | str) -> None:
        """Adds to the end of a file, which is made where there is none.

        Args:
            path: Which.
            content: What to add; text in UTF-8.

        Raises:
            QuotaExceeded: What the plugin may store is used up.
        """
        added = content.encode("utf-8") if isinstance(content, str) else content
        await self._write(path, added, append=True)

    async def delete(self, path: str, *, recursive: bool = False) -> bool:
        """Takes a file or a directory away.

        Args:
            path: Which.
            recursive: Whether a directory goes with all that is in it.

        Returns:
            Whether there was one.

        Raises:
            HostError: `CONFLICT` for a directory that holds something.
        """
        return bool(await _host.request("files.delete", {"path": path, "recursive": recursive}))

    async def list(
        self, path: str = ".", limit: int = 1000, cursor: str | None = None
    ) -> dict[str, Any]:
        """Lists a directory by names.

        Args:
            path: Which.
            limit: How many at most, up to 1000.
            cursor: `next_cursor` of the answer before.

        Returns:
            `items`, each as `stat` gives it, and `next_cursor` where there is more.

        Raises:
            HostError: `NOT_FOUND` where there is none.
        """
        asked = {"path": path, "limit": limit, "cursor": cursor}
        return cast("dict[str, Any]", await _host.request("files.list", asked))

    async def stat(self, path: str) -> dict[str, Any] | None:
        """Looks at a file or a directory.

        Args:
            path: Which.

        Returns:
            `name`, `path`, `kind` (`file` or `directory`), `size` in bytes and `modified_at` in
            seconds since 1970; None where nothing is.
        """
        return cast("dict[str, Any] | None", await _host.request("files.stat", {"path": path}))

    async def exists(self, path: str) -> bool:
        """Whether a file or a directory is there.

        Args:
            path: Which.

        Returns:
            Whether it is.
        """
        return await self.stat(path) is not None

    async def mkdir(self, path: str) -> bool:
        """Makes a directory, with those above it.

        Args:
            path: Which.

        Returns:
            Whether it was not there.

        Raises:
            QuotaExceeded: What the plugin may store is used up.
        """
        return bool(await _host.request("files.mkdir", {"path": path}))

    async def _write(self, path: str, content: bytes, *, append: bool) -> None:
        head = _json.dumps({"path": path, "append": append})
        payload = len(head).to_bytes(4, "big") + head + bytes(content)
        try:
            await _host.get().request("files.write", payload)
        except HostError as error:
            raise _host.readable(error) from None

    # The names of the original plugin host.

    readBytes = read_bytes  # noqa: N815
    readText = read_text  # noqa: N815
    writeBytes = write_bytes  # noqa: N815
    writeText = write_text  # noqa: N815


client = Files()
