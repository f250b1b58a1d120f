"""`ctx.plugin`: which plugin a context is of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mozaiks import _host


@dataclass(frozen=True)
class PluginInfo:
    """Which plugin this is.

    Attributes:
        name: Its name.
        version: Its version.
        generation: Which load of it runs.
        data_dir: A directory of its own for files.
    """

    name: str
    version: str
    generation: int
    data_dir: Path

    @property
    def config(self) -> dict[str, Any]:
        """The configuration in force: defaults of the manifest under what was set."""
        config: dict[str, Any] = _host.query("plugin.config")
        return config
