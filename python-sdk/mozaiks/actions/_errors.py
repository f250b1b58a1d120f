"""What goes wrong between a client's JSON and a function's arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class ActionError(Exception):
    """Raised by an action: the client is told, as where `execute` returns `error`.

    Attributes:
        error_code: Decides the status: `NOT_FOUND`, `CONFLICT`, `FORBIDDEN`, ...
        more: What else the answer holds.
    """

    def __init__(self, message: str, error_code: str | None = None, **more: Any) -> None:
        """Says what the client is told.

        Args:
            message: A sentence.
            error_code: `VALIDATION_ERROR`, `NOT_FOUND`, `FORBIDDEN`, `CONFLICT`, `LIMIT_EXCEEDED`
                or one of the plugin's own.
            **more: What else the answer holds.
        """
        super().__init__(message)
        self.error_code = error_code
        self.more = more

    def answer(self) -> dict[str, Any]:
        """The dict that the client gets.

        Returns:
            With `error` and `error_code`.
        """
        answer = {**self.more, "error": str(self)}
        if self.error_code is not None:
            answer["error_code"] = self.error_code
        return answer


class Unsupported(TypeError):
    """A type that there is no JSON Schema for."""


class Misfit(Exception):
    """A value of a client's that is not what a function takes."""

    def __init__(self, message: str, path: Sequence[str | int] = ()) -> None:
        """Says what is wrong.

        Args:
            message: What is wanted.
            path: Where, from the outside in.
        """
        super().__init__(message)
        self.message = message
        self.path = list(path)

    def within(self, step: str | int) -> Misfit:
        """The same one level further out.

        Args:
            step: The key or position there.

        Returns:
            A new one.
        """
        return Misfit(self.message, [step, *self.path])

    def pointer(self) -> str:
        """Where, as a JSON Pointer.

        Returns:
            The pointer; empty for the whole.
        """
        steps = (str(step).replace("~", "~0").replace("/", "~1") for step in self.path)
        return "".join(f"/{step}" for step in steps)
