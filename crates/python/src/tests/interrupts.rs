//! Interrupted code leaves no lock behind: exceptions arrive in the plugin's own code only.

use super::*;

/// Uses what others have written, without end, and remembers where it was interrupted.
const BUSY: &str = r#"
import importlib, logging, opcode, queue, sys, threading

condition = threading.Condition()
waiting = queue.Queue()
raised_in = {}

def starts(frame, at):
    # Whether the frame was at its first instruction, where it has taken nothing.
    code = frame.f_code.co_code
    first = next(i for i in range(0, len(code), 2) if code[i] == opcode.opmap.get("RESUME"))
    return at == first and frame.f_code.co_name != "__exit__"

def log():
    logging.getLogger("busy").info("a line")

def notify():
    with condition:
        condition.notify_all()

def pass_on():
    waiting.put(1)
    waiting.get()

def load():
    sys.modules.pop("colorsys", None)
    importlib.import_module("colorsys")

WAYS = {"log": log, "notify": notify, "pass_on": pass_on, "load": load}

def execute(data):
    way = WAYS[data["way"]]
    if data.get("once"):
        way()
        return {"raised_in": raised_in.get(data["way"], [])}
    try:
        while True:
            way()
    except BaseException as error:
        at = error.__traceback__
        while at.tb_next is not None:
            at = at.tb_next
        module = at.tb_frame.f_globals["__name__"]
        if sys.version_info >= (3, 13) and starts(at.tb_frame, at.tb_lasti):
            module = __name__
        raised_in.setdefault(data["way"], []).append(module)
        raise
"#;

const LOGS: &str = "import asyncio, logging\nasync def execute(data):\n    \
                    logging.getLogger('other').info('a line')\n    await asyncio.sleep(0)\n    \
                    logging.getLogger('other').info('another')\n    return {}\n";

const WAYS: [&str; 4] = ["log", "notify", "pass_on", "load"];

#[test]
fn interrupted_code_leaves_no_lock_behind() {
    let (_dir, gateway) = Gateway::of(&[("busy", BUSY), ("logs", LOGS)], |config| {
        config.call_timeout = Duration::from_millis(300);
        config.thread_pool_size = 6;
    });
    tokio_runtime().block_on(async {
        for round in 0..3 {
            let calls = WAYS
                .iter()
                .map(|way| gateway.call("busy", json!({ "way": way })));
            for outcome in futures_util::future::join_all(calls).await {
                let timed_out = matches!(outcome, Err(DispatchError::TimedOut(_)));
                assert!(timed_out, "round {round}: {outcome:?}");
            }
            eventually("all have been interrupted", || {
                gateway.python.status().running == 0
            })
            .await;
            gateway.call("logs", json!({})).await.unwrap();
            for way in WAYS {
                let call = gateway.call("busy", json!({ "way": way, "once": true }));
                let reply = call.await.unwrap_or_else(|error| panic!("{way}: {error}"));
                let raised_in = reply["raised_in"].as_array().unwrap();
                assert_eq!(raised_in.len(), round + 1, "{way}");
                for module in raised_in {
                    let module = module.as_str().unwrap();
                    // Logging and importing also end by themselves, where they may fail. The first
                    // instruction of a function counts as its caller's where it may be that.
                    let own = module.starts_with("mozaiks_plugin_busy_g");
                    assert!(own || ["log", "load"].contains(&way), "{way}: {module}");
                }
            }
        }
    });
}

#[test]
fn plain_calls_that_log_do_not_wedge_the_loop() {
    let (_dir, gateway) = Gateway::of(&[("busy_logger", BUSY), ("logs_too", LOGS)], |config| {
        config.call_timeout = Duration::from_millis(500);
    });
    tokio_runtime().block_on(async {
        for _ in 0..2 {
            let busy = || gateway.call("busy_logger", json!({"way": "log"}));
            let (one, two) = tokio::join!(busy(), busy());
            assert!(matches!(one, Err(DispatchError::TimedOut(_))), "{one:?}");
            assert!(matches!(two, Err(DispatchError::TimedOut(_))), "{two:?}");
            // While they are being interrupted, and after.
            let end = Instant::now() + Duration::from_secs(10);
            while gateway.python.status().running > 0 {
                assert!(Instant::now() < end, "they still run");
                gateway.call("logs_too", json!({})).await.ok();
            }
            gateway.call("logs_too", json!({})).await.unwrap();
        }
    });
}
