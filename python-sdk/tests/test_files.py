from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mozaiks import HostError, QuotaExceeded
from mozaiks.files import Files, client
from mozaiks.testing import TestGateway, start_plugin
from tests.fake_host import FakeHost

PLUGIN = """
from mozaiks import HostError

async def on_load(ctx):
    async def files(request):
        do, args, options = (request.body[key] for key in ("do", "args", "options"))
        try:
            result = await getattr(ctx.files, do)(*args, **options)
        except HostError as error:
            return {"refused": error.error_code, "kind": type(error).__name__}
        return {"result": result.decode() if isinstance(result, bytes) else result}

    ctx.register_route("POST", "/files", files)
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    directory = tmp_path / "filer"
    directory.mkdir()
    (directory / "__init__.py").touch()
    (directory / "logic.py").write_text(PLUGIN, encoding="utf-8")
    return directory


async def test_plugins_keep_files_in_tests(plugin: Path, gateway: TestGateway) -> None:
    async with start_plugin(plugin) as live:

        async def does(name: str, *args: Any, app_id: str = "default", **options: Any) -> Any:
            asked = {"do": name, "args": args, "options": options}
            answer = await live.request("POST", "/files", json=asked, user_id="ann", app_id=app_id)
            return answer.body.get("result", answer.body)

        await does("write_text", "up/a.txt", "hello")
        await does("append", "up/a.txt", " you")
        assert await does("readBytes", "up/a.txt") == "hello you"
        assert gateway.files.written("filer") == {"up/a.txt": b"hello you"}
        assert await does("exists", "up/a.txt", app_id="other") is False
        assert await does("mkdir", "up/deep") is True
        assert await does("mkdir", "up/deep") is False
        found = await does("stat", "up/a.txt")
        assert (found["kind"], found["size"]) == ("file", 9)
        page = await does("list", "up", 1)
        assert [item["path"] for item in page["items"]] == ["up/a.txt"]
        page = await does("list", "up", 1, page["next_cursor"])
        assert [item["path"] for item in page["items"]] == ["up/deep"]
        for name, path, code in [
            ("read_bytes", "none", "NOT_FOUND"),
            ("read_bytes", "up", "CONFLICT"),
            ("read_bytes", "a//b", "VALIDATION_ERROR"),
            ("delete", "up", "CONFLICT"),
            ("list", "none", "NOT_FOUND"),
        ]:
            assert await does(name, path) == {"refused": code, "kind": "HostError"}
        denied = {"refused": "PERMISSION_DENIED", "kind": "PermissionDenied"}
        assert await does("read_text", "../x") == denied
        assert await does("delete", "up", recursive=True) is True
        assert await does("delete", "up") is False


async def test_contents_go_as_they_are(host: FakeHost) -> None:
    host.answer = None
    await Files().write_bytes("a", b"\x00\xff")
    operation, payload = host.asked[-1]
    end = 4 + int.from_bytes(payload[:4], "big")
    assert operation == "files.write"
    assert (payload[4:end], payload[end:]) == (b'{"path":"a","append":false}', b"\x00\xff")


async def test_what_is_refused_has_its_class(host: FakeHost) -> None:
    host.answer = HostError("QUOTA_EXCEEDED", "used up", b'{"limit_bytes":5}')
    with pytest.raises(QuotaExceeded) as raised:
        await client.write_text("a", "b")
    assert raised.value.details == {"limit_bytes": 5}
    with pytest.raises(QuotaExceeded):
        await client.read_bytes("a")
