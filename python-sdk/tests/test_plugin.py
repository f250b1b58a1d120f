from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

import pytest

from mozaiks.errors import HostError
from mozaiks.plugin import (
    PluginContext,
    Reply,
    Request,
    Response,
    _handler,
    _life,
    _response,
    redirect,
)
from mozaiks.testing import TestGateway
from tests.fake_host import FakeHost

DESCRIBED = {"name": "shop", "version": "1.0.0", "generation": 7, "data_dir": "/data/shop"}


@pytest.fixture
def ctx(host: FakeHost) -> PluginContext:
    host.answer = DESCRIBED
    return PluginContext()


def head(**more: Any) -> dict[str, Any]:
    return {"method": "GET", "path": "/x", "app_id": "app", "request_id": "r", **more}


async def test_routes_are_registered_in_every_spelling(host: FakeHost, ctx: PluginContext) -> None:
    async def handler(request: Request) -> dict[str, Any]:
        return {"id": request.params["id"]}

    ctx.register_route("get", "/items/{id}", handler, roles=["buyer"])
    ctx.registerRoute({"method": "POST", "url": "/items", "handler": handler, "rateLimit": 3})
    ctx.route("/both", methods=["PUT", "DELETE"])(handler)

    kinds = [(kind, spec["method"], spec["path"]) for kind, spec in host.specs]
    assert kinds == [
        ("route", "GET", "/items/{id}"),
        ("route", "POST", "/items"),
        ("route", "PUT", "/both"),
        ("route", "DELETE", "/both"),
    ]
    assert host.specs[0][1]["roles"] == ["buyer"]
    assert host.specs[1][1]["rate_limit"] == 3
    served = host.registered[1][1]
    assert await served(head(params={"id": "9"})) == [None, None, "json", {"id": "9"}]


async def test_a_handler_may_be_plain_and_may_build_its_answer(
    host: FakeHost, ctx: PluginContext
) -> None:
    def plain(request: Request, reply: Reply) -> Any:
        return reply.status(201).header("x-a", "b").send({"made": True})

    ctx.register_route("POST", "/x", plain)
    assert await host.registered[1][1](head()) == [201, {"x-a": "b"}, "json", {"made": True}]


async def test_results_of_every_kind() -> None:
    assert await _response.encode(None) == [None, None, "empty", None]
    assert await _response.encode("text") == [None, None, "text", "text"]
    assert await _response.encode(b"\x00\xff") == [None, None, "bytes", "AP8="]
    assert await _response.encode([1]) == [None, None, "json", [1]]
    failure = {"error": "no", "error_code": "NOT_FOUND"}
    assert await _response.encode(failure) == [None, None, "failure", failure]
    assert await _response.encode(redirect("/y")) == [302, {"location": "/y"}, "empty", None]
    html = Response(body="<p>", content_type="text/html")
    assert await _response.encode(html) == [200, {"content-type": "text/html"}, "text", "<p>"]


async def test_a_stream_goes_piece_by_piece_until_the_client_has_gone(host: FakeHost) -> None:
    closed = []

    async def pieces() -> AsyncIterator[Any]:
        try:
            yield "a"
            yield {"b": 1}
        finally:
            closed.append(True)

    host.answer = 5
    assert await _response.encode(pieces()) == [None, None, "stream", 5]
    for task in list(_response._pumps):
        await task
    # The stand-in says that the reader has gone after the first piece.
    assert closed == [True]
    assert host.asked[-2:] == [("stream.write", b"a"), ("stream.close", {"stream": 5})]


async def test_a_stream_that_there_is_no_room_for_is_said_and_closed(host: FakeHost) -> None:
    class Pieces:
        closed = False

        def __aiter__(self) -> Pieces:
            return self

        async def aclose(self) -> None:
            self.closed = True

    pieces = Pieces()
    host.answer = HostError("OVERLOADED", "too many")
    assert await _response.encode(pieces) == [None, None, "overloaded", None]
    assert pieces.closed
    host.answer = HostError("NOT_FOUND", "this load has ended")
    with pytest.raises(HostError, match="has ended"):
        await _response.encode(Pieces())


def test_a_context_knows_whether_it_works_for_an_app(host: FakeHost, ctx: PluginContext) -> None:
    for app_id in ("shop", None):
        host.answer = app_id
        assert ctx.app_id == app_id


def test_identity_in_a_body_is_the_gateways() -> None:
    forged = {"user_id": "eve", "app_id": "other", "_context": {}, "user_jwt": "x", "a": 1}
    context = {"user_id": "ann", "roles": ["r"], "username": None, "is_superadmin": False}
    request = Request(head(body=forged, context=context))
    assert request.body == {"a": 1, "user_id": "ann", "app_id": "app", "_context": context}
    assert request.user is not None
    assert (request.user.user_id, request.user.roles) == ("ann", ("r",))
    anonymous = Request(head(body={"user_id": "eve"}))
    assert anonymous.user is None
    assert anonymous.body["user_id"] is None


def test_bodies_are_read_in_every_form() -> None:
    assert Request(head(text='{"a": 1}')).json() == {"a": 1}
    assert Request(head(bytes="AP8=")).body == b"\x00\xff"
    assert Request(head(body=[1])).text() == "[1]"
    assert Request(head()).text() == ""
    cookies = Request(head(headers={"cookie": 'a=1; b="2"; a=3'})).cookies
    assert cookies == {"a": "1", "b": "2"}


async def test_middleware_goes_round_in_order_and_may_answer_early(
    host: FakeHost, ctx: PluginContext
) -> None:
    seen: list[str] = []

    def layer(name: str) -> Any:
        async def middleware(request: Request, call_next: Any) -> Any:
            seen.append(name)
            if request.query.get("stop") == name:
                return Response(403)
            return await call_next(request)

        return middleware

    async def handler() -> str:
        seen.append("handler")
        return "done"

    ctx.register_middleware(layer("inner"), order=20)
    ctx.register_middleware(layer("outer"), order=5)
    ctx.register_route("GET", "/x", handler)
    served = host.registered[1][1]
    assert (await served(head()))[2:] == ["text", "done"]
    assert seen == ["outer", "inner", "handler"]
    assert (await served(head(query={"stop": "outer"})))[0] == 403
    assert seen[3:] == ["outer"]


async def test_lifecycle_functions_are_found_under_other_names(host: FakeHost) -> None:
    calls: list[Any] = []

    class Plugin:
        async def onEnable(self, ctx: PluginContext) -> None:  # noqa: N802
            calls.append(("enable", ctx.plugin.name))

        def cleanup(self) -> None:
            calls.append("unload")

    module = ModuleType("shop")
    module.plugin = Plugin()  # type: ignore[attr-defined]
    host.answer = DESCRIBED
    life = _life.Life("package", module, None)
    assert sorted(life.functions) == ["on_enable", "on_unload"]
    await life.run({"name": "on_load", "parts": {}})
    await life.run({"name": "on_enable"})
    context = life._context
    assert context is not None
    await life.run({"name": "on_unload"})
    assert calls == [("enable", "shop"), "unload"]
    with pytest.raises(RuntimeError, match="has been unloaded"):
        context.get_config("a")


def test_arguments_are_as_many_as_a_function_takes() -> None:
    assert _handler.arity(lambda: None, 2) == 0
    assert _handler.arity(lambda a: None, 2) == 1
    assert _handler.arity(lambda a, b, c: None, 2) == 2
    assert _handler.arity(lambda *a: None, 2) == 2


async def test_the_stand_in_keeps_what_plugins_register() -> None:
    async with TestGateway() as gateway:
        spec, callback = {"pattern": "a:b"}, lambda data: None
        from mozaiks import _host

        _host.register("event", spec, callback)
        _host.register("route", {"method": "GET", "path": "/x"}, callback)
        assert gateway.registered["route"][0][0]["path"] == "/x"


async def test_jobs_are_registered_and_get_what_they_take(
    host: FakeHost, ctx: PluginContext
) -> None:
    runs: list[Any] = []

    async def both(context: PluginContext, run: dict[str, Any]) -> None:
        runs.append((context is ctx, run["job"]))

    def tidy(context: PluginContext) -> None:
        runs.append(context is ctx)

    ctx.schedule_task("*/5 * * * *", both, name="five", missed="run_once", timeout_seconds=2)
    ctx.scheduleTask("0 8 * * MON", tidy, timezone="Europe/Berlin")
    ctx.schedule_task("* * * * *", lambda: runs.append("plain"))

    @ctx.schedule_task("0 0 * * *")
    async def nightly() -> None:
        runs.append("nightly")

    names = [(kind, spec["name"], spec["cron"]) for kind, spec in host.specs]
    assert names == [
        ("job", "five", "*/5 * * * *"),
        ("job", "tidy", "0 8 * * MON"),
        ("job", "task-1", "* * * * *"),
        ("job", "nightly", "0 0 * * *"),
    ]
    first, second = host.specs[0][1], host.specs[1][1]
    assert (first["missed"], first["timeout_seconds"]) == ("run_once", 2)
    assert (second["timezone"], second["missed"]) == ("Europe/Berlin", "skip")
    for _, served in host.registered.values():
        done = served({"job": "five"})
        # A plain function ends on the thread that it runs on.
        if _handler.is_async(served):
            await done
    assert runs == [(True, "five"), True, "plain", "nightly"]


async def test_a_job_is_run_by_its_name_in_tests() -> None:
    ran: list[str] = []
    async with TestGateway() as gateway:
        gateway.register(
            "job", b'{"name": "tidy", "cron": "* * * * *"}', lambda run: ran.append(run["trigger"])
        )
        await gateway.run_job("tidy", trigger="schedule")
        with pytest.raises(LookupError, match="there are: tidy"):
            await gateway.run_job("other")
    assert ran == ["schedule"]


async def test_functions_for_one_event_go_in_order_and_only_those_that_failed_go_again(
    host: FakeHost, ctx: PluginContext
) -> None:
    heard: list[Any] = []
    broken = True

    def listen(name: str, fails: bool = False) -> Any:
        async def listener(data: dict[str, Any]) -> None:
            heard.append((name, data.pop("n")))
            if fails and broken:
                raise ValueError(name)

        return listener

    ctx.on("a:b", listen("last", fails=True), priority=20)
    ctx.on("a:b", listen("second"))
    ctx.on("a:b", listen("third"))
    ctx.on("a:b", listen("first", fails=True), priority=1)
    pattern = {"pattern": "a:b", "with_id": True}
    priorities = [20, None, 1]
    assert host.specs == [
        ("event", pattern if each is None else {**pattern, "priority": each}) for each in priorities
    ]
    last, middle, first = (host.registered[at + 1][1] for at in range(3))

    failed: dict[int, list[Any]] = {}

    async def deliver(data: dict[str, Any], event_id: int) -> None:
        # As the gateway does: level by level, and again those that have failed.
        errors: list[Exception] = []
        for level in failed.pop(event_id, [first, middle, last]):
            try:
                await level(dict(data), event_id)
            except ValueError as error:
                errors.append(error)
                failed.setdefault(event_id, []).append(level)
        if errors:
            raise errors[0]

    with pytest.raises(ValueError, match="first"):
        await deliver({"n": 1}, 7)
    assert [name for name, _ in heard] == ["first", "second", "third", "last"]
    heard.clear()
    broken = False
    # Another event does not hide the one that comes again.
    await deliver({"n": 2}, 8)
    await deliver({"n": 1}, 7)
    assert heard[4:] == [("first", 1), ("last", 1)]


async def test_a_deadline_keeps_nobody_from_an_event_for_good(
    host: FakeHost, ctx: PluginContext
) -> None:
    heard: list[str] = []
    gate = asyncio.Event()

    async def waits(data: Any) -> None:
        heard.append("waits")
        await gate.wait()

    ctx.on("a", lambda data: heard.append("quick"))
    ctx.on("a", waits)
    ctx.on("a", lambda data: heard.append("after"))
    deliver = host.registered[1][1]
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(deliver({}, 1), 0.2)
    gate.set()
    await deliver({}, 1)
    assert heard == ["quick", "waits", "waits", "after"]


async def test_what_enabling_listened_to_is_not_heard_twice_after_the_next(host: FakeHost) -> None:
    heard: list[str] = []
    module = ModuleType("shop")
    module.on_load = lambda ctx: ctx.on("a", lambda data: heard.append("load"))  # type: ignore[attr-defined]

    def on_enable(ctx: PluginContext) -> None:
        ctx.on("a", lambda data: heard.append("enable"))
        ctx.on("b", lambda data: heard.append("b"))

    module.on_enable = on_enable  # type: ignore[attr-defined]
    host.answer = DESCRIBED
    life = _life.Life("package", module, None)
    for step in ("on_load", "on_enable", "on_disable", "on_enable"):
        await life.run({"name": step})
    # `b` anew, since the gateway has ended what the first enabling registered.
    assert [spec["pattern"] for _, spec in host.specs] == ["a", "b", "b"]
    await host.registered[1][1]({}, 1)
    assert heard == ["load", "enable"]
    assert life._context is not None
    # Later ones stand alone.
    life._context.on("a", lambda data: None)
    assert host.specs[-1] == ("event", {"pattern": "a"})


def test_a_raw_body_is_there_for_those_who_asked() -> None:
    request = Request(head(body={"a": 1}, raw="eyJhIjogMX0="))
    assert request.raw == b'{"a": 1}'
    with pytest.raises(RuntimeError, match="raw_body=True"):
        _ = Request(head(body={"a": 1})).raw
