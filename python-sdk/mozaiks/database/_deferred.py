"""Whatever PyMongo has a cursor for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from typing import Any


class DeferredCursor:
    """A cursor of PyMongo that is opened when it is first awaited or read."""

    def __init__(self, open_it: Callable[[], Awaitable[Any]]) -> None:
        self._open_it = open_it
        self._cursor: Any = None

    async def _opened(self) -> Any:
        if self._cursor is None:
            self._cursor = await self._open_it()
        return self._cursor

    def __await__(self) -> Generator[Any, None, DeferredCursor]:
        async def opened() -> DeferredCursor:
            await self._opened()
            return self

        return opened().__await__()

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        return await self.next()

    async def __aenter__(self) -> DeferredCursor:
        await self._opened()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def next(self) -> Any:
        """The next document.

        Returns:
            The document.

        Raises:
            StopAsyncIteration: If there is none.
        """
        return await (await self._opened()).next()

    async def try_next(self) -> Any | None:
        """The next document, if there is one already.

        Returns:
            The document or `None`.
        """
        return await (await self._opened()).try_next()

    async def to_list(self, length: int | None = None) -> list[Any]:
        """The documents that are left.

        Args:
            length: How many at most.

        Returns:
            The documents.
        """
        found: list[Any] = []
        while length is None or len(found) < length:
            try:
                found.append(await self.next())
            except StopAsyncIteration:
                break
        return found

    async def close(self) -> None:
        """Closes it, if it was opened."""
        if self._cursor is not None:
            await self._cursor.close()

    @property
    def alive(self) -> bool:
        """Whether there may be more."""
        return self._cursor is None or bool(self._cursor.alive)

    @property
    def resume_token(self) -> Mapping[str, Any] | None:
        """Where a change stream can go on."""
        token: Mapping[str, Any] | None = getattr(self._cursor, "resume_token", None)
        return token
