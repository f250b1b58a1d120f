"""Plugins with actions: which call goes where, and what they may be named."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest

import mozaiks.actions
from mozaiks.actions import ActionError, action
from mozaiks.actions._declare import finish

CONTEXT = {"app_id": "shop", "user_id": "ann", "username": "Ann", "roles": ["a"], "request_id": "r"}


@pytest.fixture
def root() -> Iterator[types.ModuleType]:
    module = types.ModuleType("_an_actions_plugin")
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


def declare(root: types.ModuleType, code: str) -> None:
    scope = vars(root)
    exec("from core.actions import ActionError, Call, action\n" + code, scope)


def data(**sent: Any) -> dict[str, Any]:
    return {**sent, "user_id": "ann", "app_id": "shop", "_context": CONTEXT}


async def test_what_names_an_action_goes_to_it_and_the_rest_to_execute(
    root: types.ModuleType,
) -> None:
    declare(
        root,
        '@action("a")\nasync def a(n: int) -> Later: return {"n": n}\n'
        '@action("b")\ndef b(call: Call) -> str: return call.user_id\n'
        '@action("c")\nasync def c(): raise ActionError("gone", "NOT_FOUND", at=7)\n'
        "class Later(dict): pass\n",
    )

    def execute(data: dict[str, Any]) -> dict[str, Any]:
        return {"rest": data.get("action")}

    answering, declared = finish(root, execute)
    assert answering is not None
    assert [name for name, *_ in declared] == ["a", "b", "c"]
    assert await answering(data(action="a", n=1)) == {"n": 1}
    assert await answering(data(action="b")) == {"result": "ann"}
    gone = {"error": "gone", "error_code": "NOT_FOUND", "at": 7}
    assert await answering(data(action="c")) == gone
    assert await answering(data(action="d")) == {"rest": "d"}
    assert await answering(data(action=["a"])) == {"rest": ["a"]}
    refused = await answering(data(action="a", n="x"))
    assert (refused["error_code"], refused["details"]["path"]) == ("VALIDATION_ERROR", "/n")
    with pytest.raises(RuntimeError, match="while the plugin is imported"):
        declare(root, '@action("late")\ndef late(): ...\n')


def test_plain_functions_alone_need_no_loop(root: types.ModuleType) -> None:
    declare(root, '@action("a")\ndef a(n: int = 3) -> int: return n\n')
    answering, _ = finish(root, None)
    assert answering is not None
    assert answering(data(action="a")) == {"result": 3}
    unknown = answering(data(action="aa"))
    assert "did you mean a?" not in unknown["error"] or unknown["details"]["actions"] == ["a"]
    assert unknown["details"]["path"] == "/action"
    assert answering(data())["error_code"] == "VALIDATION_ERROR"


def test_names_of_actions(root: types.ModuleType) -> None:
    with pytest.raises(TypeError, match="create"):
        declare(root, "@action\ndef a(): ...\n")
    for odd in ("", "a b", "1", "ä", "a" * 65):
        with pytest.raises(ValueError, match="no name"):
            action(odd)
    with pytest.raises(TypeError, match="must be a function"):
        declare(root, 'action("a")(7)\n')
    declare(root, '@action("a")\ndef one(): ...\n@action("a")\ndef two(): ...\n')
    with pytest.raises(TypeError, match=r"two functions are the action 'a': .*one and .*two"):
        finish(root, None)


def test_whoever_has_none_keeps_its_execute(root: types.ModuleType) -> None:
    def execute(data: dict[str, Any]) -> dict[str, Any]:
        return data

    assert finish(root, execute) == (execute, [])
    assert mozaiks.actions.__all__ == ["ActionError", "Call", "Field", "action"]
    assert str(ActionError("x")) == "x"
