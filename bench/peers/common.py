"""What every Python peer shares: the plugin files, the keys, the injection of the contract."""

from __future__ import annotations

import datetime as dt
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import jwt

ALGORITHM = os.environ["BENCH_ALGORITHM"]
KEY: Any = os.environ.get("BENCH_SECRET") or Path(os.environ["BENCH_PUBLIC_KEY"]).read_text()
APP_ID = "default"


def load_plugins() -> dict[str, Any]:
    """`execute` of each plugin under the directories of `BENCH_PLUGINS`, by name."""
    shims = os.environ.get("BENCH_SHIMS")
    if shims:
        sys.path.insert(0, shims)
    plugins = {}
    for folder in os.environ["BENCH_PLUGINS"].split(os.pathsep):
        for entry in sorted(Path(folder).glob("*/logic.py")):
            name = entry.parent.name
            spec = importlib.util.spec_from_file_location(f"bench_plugin_{name}", entry)
            assert spec is not None and spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            try:
                spec.loader.exec_module(module)
            except ImportError as error:
                print(f"{name} is left out: {error}", file=sys.stderr)
                continue
            # Some have routes only.
            if hasattr(module, "execute"):
                plugins[name] = module.execute
    return plugins


def plain(value: Any) -> str:
    """The contract's form of what a plugin returns beside JSON's own types."""
    if isinstance(value, dt.datetime):
        return (value if value.tzinfo else value.replace(tzinfo=dt.timezone.utc)).isoformat()
    if type(value).__name__ == "ObjectId":
        return str(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def verify(token: str) -> dict[str, Any]:
    """The claims of a token, its signature and expiry checked."""
    claims: dict[str, Any] = jwt.decode(token, KEY, algorithms=[ALGORITHM])
    return claims


def inject(data: dict[str, Any], claims: dict[str, Any], request_id: str) -> dict[str, Any]:
    """Puts the verified identity into the data, as the contract says."""
    user = str(claims.get("user_id") or claims["sub"])
    roles = claims.get("roles", [])
    data["user_id"] = user
    data["app_id"] = APP_ID
    data["_context"] = {
        "app_id": APP_ID,
        "user_id": user,
        "username": claims.get("username"),
        "roles": roles,
        "is_superadmin": "superadmin" in roles,
        "request_id": request_id,
    }
    data.pop("_entitlements", None)
    return data
