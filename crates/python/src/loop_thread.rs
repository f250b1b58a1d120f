//! The one thread that owns an asyncio loop. Takes all parts: it starts them on the loop and, when the
//! loop ends, ends what waits in them.

#[cfg(not(Py_3_12))]
mod first_step;
mod put_aside;
mod reader;

use std::sync::{Arc, mpsc};

use pyo3::prelude::*;

use self::{put_aside::PutAside, reader::Reader};
use crate::{error, interpreter::attach, parts::Parts, runtime_types::native_module};

/// Python frames of deep but finite recursion fit.
const STACK_BYTES: usize = 16 * 1024 * 1024;

/// Starts the thread; returns once its loop is ready.
///
/// # Errors
/// Where the thread or the loop cannot be made.
pub(super) fn start(parts: &Arc<Parts>) -> Result<(), String> {
    let (ready, started) = mpsc::sync_channel(1);
    let parts = parts.clone();
    std::thread::Builder::new()
        .name("mozaiks-python".into())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            // One attachment for the thread's life; the loop detaches while it waits.
            attach(|py| {
                let _here = parts.looping.progress.bind(py);
                match make_loop(py, &parts) {
                    Ok(event_loop) => {
                        // The receiver waits for this very message.
                        ready.send(Ok(())).ok();
                        run(py, &parts, &event_loop);
                    }
                    Err(error) => {
                        ready.send(Err(error.to_string())).ok();
                    }
                }
            });
        })
        .map_err(|error| format!("cannot start the Python thread: {error}"))?;
    started
        .recv()
        .map_err(|_| "the Python thread ended while it started".to_owned())?
        .map_err(|error| format!("the Python event loop could not be made: {error}"))
}

fn make_loop<'py>(py: Python<'py>, parts: &Arc<Parts>) -> PyResult<Bound<'py, PyAny>> {
    let native = native_module(py)?;
    let put_aside = Bound::new(
        py,
        PutAside {
            pools: parts.pools.clone(),
        },
    )?;
    let event_loop = native.call_method1("new_loop", (put_aside,))?;
    let reader = Bound::new(py, Reader::new(py, parts, &event_loop)?)?;
    event_loop.call_method1("add_reader", (parts.queue.inbox.raw_fd(), reader))?;
    // Set once: one runtime has one loop thread.
    parts
        .looping
        .event_loop
        .set(event_loop.clone().unbind())
        .ok();
    Ok(event_loop)
}

/// Runs the loop for as long as the runtime lives, whatever plugin code raises through it.
fn run(py: Python<'_>, parts: &Parts, event_loop: &Bound<'_, PyAny>) {
    loop {
        let ended = event_loop.call_method0("run_forever");
        parts.looping.progress.settle(py);
        if parts.looping.is_stopping() {
            break;
        }
        match ended {
            Ok(_) => tracing::warn!("python.loop_stopped_by_plugin: it goes on"),
            Err(raised) => {
                let reason = error::summary(py, &raised);
                tracing::warn!(reason, "python.loop_interrupted: it goes on");
            }
        }
    }
    for job in parts.queue.inbox.close() {
        drop(job);
    }
    parts.host.give_up();
    parts.environment.calls.end_all();
    parts.outbox.close();
    if let Err(raised) = event_loop.call_method0("close") {
        let reason = error::summary(py, &raised);
        tracing::warn!(reason, "python.loop_not_closed");
    }
}
