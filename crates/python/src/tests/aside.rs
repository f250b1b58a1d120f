//! What plugins give to other threads, and each plugin's share of them.

use super::*;

const GREEDY: &str = r#"
import asyncio, os, time

def wait(gate):
    while not os.path.exists(gate):
        time.sleep(0.01)
    return 1

async def execute(data):
    gate = data["gate"]
    if data.get("look_up"):
        loop = asyncio.get_running_loop()
        # As a resolver that does not answer.
        waits = [loop._put_aside(loop, True, wait, gate) for _ in range(data["n"])]
    else:
        waits = [asyncio.to_thread(wait, gate) for _ in range(data["n"])]
    refused = 0
    tasks = [asyncio.ensure_future(each) for each in waits]
    done, pending = await asyncio.wait(tasks, timeout=0.1)
    for task in done:
        if getattr(task.exception(), "code", None) == "OVERLOADED":
            refused += 1
    for task in pending:
        task.cancel()
    await asyncio.sleep(0)
    return {"refused": refused, "abandoned": len(pending)}
"#;

const POLITE: &str = r#"
import asyncio, contextvars, socket
import _mozaiks_native

here = contextvars.ContextVar("here")

def who(extra=None):
    return [_mozaiks_native.caller().plugin, _mozaiks_native.caller().user_id, here.get(None), extra]

def fails():
    raise ValueError("from the thread")

def ends():
    raise StopIteration(7)

async def execute(data):
    here.set("set before")
    loop = asyncio.get_running_loop()
    try:
        await asyncio.to_thread(fails)
        error = None
    except ValueError as raised:
        error = str(raised)
    try:
        await loop.run_in_executor(None, ends)
        ended = None
    except RuntimeError as raised:
        ended = repr(raised.__cause__)
    given_up = loop.run_in_executor(None, who)
    given_up.cancel()
    found = await loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)
    return {
        "thread": await asyncio.to_thread(who, extra="kept"),
        "executor": await loop.run_in_executor(None, who, 7),
        "error": error,
        "ended": ended,
        "given_up": given_up.cancelled(),
        "address": found[0][4],
        "name": (await loop.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV))[0],
    }
"#;

fn polite_answer() -> Value {
    json!({
        "thread": ["polite", "u1", "set before", "kept"],
        "executor": ["polite", "u1", "set before", 7],
        "error": "from the thread",
        "ended": "StopIteration(7)",
        "given_up": true,
        "address": ["127.0.0.1", 80],
        "name": "127.0.0.1",
    })
}

#[test]
fn abandoned_functions_take_their_own_plugins_share_only() {
    let (dir, gateway) = Gateway::of(&[("greedy", GREEDY), ("polite", POLITE)], |config| {
        config.executor_threads = 3;
        config.executor_threads_per_plugin = 2;
        config.resolver_threads = 3;
    });
    let gate = dir.path().join("open");
    tokio_runtime().block_on(async {
        for look_up in [false, true] {
            let data = json!({ "gate": gate, "n": 12, "look_up": look_up });
            let reply = gateway.call("greedy", data).await.unwrap();
            assert_eq!(reply, json!({"refused": 0, "abandoned": 12}));
        }
        let running = || gateway.python.status().pools.map(|pool| pool.running);
        eventually("its share is held", || running() == [0, 2, 2]).await;
        for _ in 0..3 {
            let reply = gateway.call("polite", json!({})).await.unwrap();
            assert_eq!(reply, polite_answer());
        }
        eventually("the other's threads are free again", || {
            running() == [0, 2, 2]
        })
        .await;
        std::fs::write(&gate, "").unwrap();
        eventually("the threads are free", || running() == [0, 0, 0]).await;
        eventually("nothing waits", || {
            gateway.python.status().pools.map(|pool| pool.waiting) == [0, 0, 0]
        })
        .await;
    });
}

#[test]
fn functions_beyond_the_queue_are_refused() {
    let (dir, gateway) = Gateway::of(&[("greedy", GREEDY)], |config| {
        config.executor_threads_per_plugin = 1;
        config.queue_size = 8;
    });
    let gate = dir.path().join("open");
    tokio_runtime().block_on(async {
        let data = json!({ "gate": gate, "n": 12 });
        let reply = gateway.call("greedy", data).await.unwrap();
        // One may run, and half of the queue may wait.
        assert_eq!(reply, json!({"refused": 7, "abandoned": 5}));
        assert_eq!(gateway.python.status().pools[1].refused, 7);
        std::fs::write(&gate, "").unwrap();
    });
}

#[test]
fn one_plugins_slow_plain_calls_leave_threads_to_others() {
    const SLOW: &str = "import os, time\ndef execute(data):\n    while not \
                        os.path.exists(data['gate']):\n        time.sleep(0.01)\n    return {'n': \
                        data['n']}\n";
    const QUICK: &str = "def execute(data):\n    return {'quick': True}\n";
    let (dir, gateway) = Gateway::of(&[("slow_one", SLOW), ("quick", QUICK)], |config| {
        config.thread_pool_size = 3;
        config.threads_per_plugin = 2;
    });
    let gate = dir.path().join("open");
    tokio_runtime().block_on(async {
        let calls = (0..6).map(|n| gateway.call("slow_one", json!({ "gate": gate, "n": n })));
        let mut calls = std::pin::pin!(futures_util::future::join_all(calls));
        assert!(futures_util::poll!(&mut calls).is_pending());
        eventually("its share is taken", || {
            gateway.python.status().pools[0].running == 2
        })
        .await;
        for _ in 0..3 {
            let reply = gateway.call("quick", json!({})).await.unwrap();
            assert_eq!(reply, json!({"quick": true}));
        }
        eventually("the others still wait", || {
            let pool = gateway.python.status().pools[0];
            (pool.running, pool.waiting) == (2, 4)
        })
        .await;
        std::fs::write(&gate, "").unwrap();
        for (n, reply) in calls.await.into_iter().enumerate() {
            assert_eq!(reply.unwrap(), json!({ "n": n }));
        }
    });
}
