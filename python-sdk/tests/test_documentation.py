"""What the documentation shows works: its plugins are written out and called."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mozaiks.testing import TestGateway, run_plugin

REPOSITORY = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"# (runtime/ai/plugins/\S+\.py)\n")


def blocks(document: str) -> list[str]:
    """The Python that a document shows."""
    return BLOCK.findall((REPOSITORY / document).read_text(encoding="utf-8"))


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with every plugin of the guide under its name."""
    for block in [*blocks("docs/plugins.md"), *blocks("docs/plugin-development.md")]:
        name = NAMED.match(block)
        assert name is not None, f"say which file this is:\n{block}"
        file = tmp_path / name[1]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(block, encoding="utf-8")
        if file.name == "logic.py":
            (file.parent / "__init__.py").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runtime/ai/plugins"


async def test_the_guides_plugins_work(plugins: Path, gateway: TestGateway) -> None:
    assert await run_plugin(plugins / "greeter", user_id="ann") == {"hello": "ann"}

    async def todo(action: str, user_id: str = "ann", **fields: Any) -> dict[str, Any]:
        return await run_plugin(plugins / "todo", action, user_id=user_id, **fields)

    await run_plugin(plugins / "counter", user_id="ann")
    item_id = (await todo("create", title="Milk"))["id"]
    assert (await todo("get", item_id=item_id))["item"]["title"] == "Milk"
    assert (await todo("get", user_id="bob", item_id=item_id))["error_code"] == "NOT_FOUND"
    assert (await todo("get", item_id="nonsense"))["error_code"] == "NOT_FOUND"
    assert (await todo("list"))["count"] == 1
    assert (await todo("list", user_id="bob"))["count"] == 0

    await gateway.settle()
    assert await run_plugin(plugins / "counter", user_id="ann") == {"created": 1}
    assert await run_plugin(plugins / "counter", user_id="bob") == {"created": 0}

    assert await run_plugin(plugins / "themes", user_id="ann") == {}
    assert await run_plugin(plugins / "themes", user_id="ann", theme="dark") == {"theme": "dark"}
    assert await run_plugin(plugins / "themes", user_id="ann") == {"theme": "dark"}


async def test_the_guides_actions_work(plugins: Path, gateway: TestGateway) -> None:
    async def agenda(action: str, **fields: Any) -> dict[str, Any]:
        return await run_plugin(plugins / "agenda", action, user_id="ann", **fields)

    made = await agenda("create", title="Train", due="2026-03-01T09:30:00Z")
    assert made["due"] == "2026-03-01T09:30:00+00:00"
    assert (await agenda("get", id=made["id"]))["title"] == "Train"
    assert (await agenda("get", id="0" * 24))["error_code"] == "NOT_FOUND"
    assert (await agenda("create", title="Train", due="soon"))["details"]["path"] == "/due"
    assert (await agenda("list"))["details"]["actions"] == ["create", "get"]


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("todo/tests/test_todo.py", "test_create"),
        ("announcer/tests/test_announcer.py", "test_announce"),
        ("announcer/tests/test_announcer.py", "test_remind"),
        ("my_plugin/tests/test_my_plugin.py", "test_my_plugin"),
        ("orders/tests/test_orders.py", "test_orders"),
    ],
)
async def test_the_guides_tests_pass(
    plugins: Path, gateway: TestGateway, file: str, name: str
) -> None:
    module = ModuleType(name)
    code = compile((plugins / file).read_text(encoding="utf-8"), file, "exec")
    exec(code, module.__dict__)
    await getattr(module, name)(gateway)


def test_all_of_the_guides_tests_are_run(plugins: Path) -> None:
    shown = [
        name
        for file in plugins.glob("*/tests/*.py")
        for name in re.findall(
            r"^async def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE
        )
    ]
    assert sorted(shown) == [
        "test_announce",
        "test_create",
        "test_my_plugin",
        "test_orders",
        "test_remind",
    ]


async def test_the_first_plugin_of_the_readme_works(tmp_path: Path, gateway: TestGateway) -> None:
    (shown,) = blocks("README.md")
    (tmp_path / "__init__.py").touch()
    (tmp_path / "logic.py").write_text(shown, encoding="utf-8")
    added = await run_plugin(tmp_path, "add", user_id="ann", text="It works")
    assert len(added["id"]) == 24
    assert await run_plugin(tmp_path, user_id="ann") == {"entries": ["It works"]}
    assert await run_plugin(tmp_path, user_id="bob") == {"entries": []}
    refused = await run_plugin(tmp_path, "add", user_id="ann", text=7)
    assert refused["error_code"] == "VALIDATION_ERROR"
