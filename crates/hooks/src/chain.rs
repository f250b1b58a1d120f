//! One chain: its order, its time, its depth, and what becomes of what fails.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::{BufMut as _, Bytes, BytesMut};
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{Applicant, HookError, Hooks, table::Entry};
use mozaiks_plugins::{
    CallError, CallId, CallKind, Input, Target,
    dispatch::{Call, DispatchError},
    manifest::parts::HookType,
};

/// How long a function waits before a full plugin is asked again: the caller may itself be what fills it.
const FULL_PLUGIN_PAUSE: Duration = Duration::from_millis(5);
/// Characters of a reason that are logged.
const MAX_REASON_CHARS: usize = 8_000;

/// Where a running function is: what it applies in turn is one deeper, and ends no later.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    depth: u32,
    ends: Instant,
}

/// Gives a call's frame back, also where the chain is dropped in the middle.
struct Running<'a>(&'a Hooks, CallId);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.lock().remove(&self.1);
    }
}

impl Hooks {
    pub(super) async fn run(
        &self,
        by: &Applicant,
        name: &str,
        wanted: HookType,
        mut value: Option<Bytes>,
        args: &[&RawValue],
    ) -> Result<Option<Bytes>, HookError> {
        let mut entries = self.table.of(name, &by.app_id);
        entries
            .retain(|entry| entry.spec.hook_type == wanted && (entry.spec.public || !by.is_page));
        if entries.is_empty() && by.is_page {
            return Err(HookError::NotPublic);
        }
        let most = self.config.max_value_bytes;
        let args_bytes: usize = args.iter().map(|arg| arg.get().len() + 1).sum();
        if value.as_ref().map_or(0, Bytes::len) + args_bytes > most {
            return Err(HookError::TooLarge(most));
        }
        let frame = self.frame(by)?;
        if entries.is_empty() {
            return Ok(value);
        }
        self.counts.chains.fetch_add(1, Ordering::Relaxed);
        for entry in &entries {
            if Instant::now() >= frame.ends {
                self.counts.skipped.fetch_add(1, Ordering::Relaxed);
                self.settle(by, name, entry, "the chain's time was up before it")?;
                continue;
            }
            let arguments = arguments(value.as_ref(), args);
            match self.call(by, entry, arguments, frame).await {
                Ok(given) if value.is_some() && &*given != b"null" => {
                    if given.len() + args_bytes > most {
                        self.counts.failed.fetch_add(1, Ordering::Relaxed);
                        let reason = format!("it gave more than {most} bytes");
                        self.settle(by, name, entry, &reason)?;
                    } else {
                        value = Some(given);
                    }
                }
                Ok(_) => {}
                Err(reason) => {
                    self.counts.failed.fetch_add(1, Ordering::Relaxed);
                    self.settle(by, name, entry, &reason)?;
                }
            }
        }
        Ok(value)
    }

    /// The frame of a chain: within another's call what that leaves.
    fn frame(&self, by: &Applicant) -> Result<Frame, HookError> {
        let outer = by
            .within
            .and_then(|call| self.running.lock().get(&call).copied());
        let ends = Instant::now() + self.config.chain_timeout;
        let frame = match outer {
            None => Frame { depth: 1, ends },
            Some(outer) => Frame {
                depth: outer.depth + 1,
                ends: ends.min(outer.ends),
            },
        };
        let most = u32::try_from(self.config.max_depth).unwrap_or(u32::MAX);
        if frame.depth > most {
            self.counts.too_deep.fetch_add(1, Ordering::Relaxed);
            return Err(HookError::TooDeep(most));
        }
        Ok(frame)
    }

    /// Calls one function; what it gave, or why it gave nothing.
    async fn call(
        &self,
        by: &Applicant,
        entry: &Entry,
        arguments: Bytes,
        frame: Frame,
    ) -> Result<Bytes, String> {
        let ends = frame.ends.min(Instant::now() + self.config.timeout);
        let generation = &entry.function.generation;
        let id = CallId::next();
        // Before the call: what it applies may come before `invoke_as` has returned.
        let own = Frame { ends, ..frame };
        self.running.lock().insert(id, own);
        let _running = Running(self, id);
        let pending = loop {
            let call = Call {
                kind: CallKind::Hook,
                target: Target::Handler(entry.function.handler),
                input: Input::Arguments(arguments.clone()),
                principal: by.principal.clone(),
                app_id: Some(Arc::clone(&by.app_id)),
                request_id: Arc::clone(&by.request_id),
                timeout: Some(ends.saturating_duration_since(Instant::now())),
            };
            match self.dispatcher.invoke_as(id, Arc::clone(generation), call) {
                Ok(pending) => break pending,
                Err(DispatchError::Overloaded) => {
                    let again = Instant::now() + FULL_PLUGIN_PAUSE;
                    if again >= ends {
                        return Err("the plugin takes no more calls".into());
                    }
                    sleep_until(again).await;
                }
                Err(error) => return Err(error.to_string()),
            }
        };
        match timeout_at(ends, pending).await {
            Ok(Ok(reply)) => Ok(reply.body),
            Ok(Err(DispatchError::Call(CallError::Raised {
                summary, traceback, ..
            }))) => Err(format!("{summary}\n{traceback}")),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => {
                let waited = self.config.timeout.as_secs_f64();
                Err(format!("it did not answer within {waited} s"))
            }
        }
    }

    /// What becomes of the chain where a function gave nothing: the value goes on as it was, unless the
    /// chain cannot do without.
    fn settle(
        &self,
        by: &Applicant,
        name: &str,
        entry: &Entry,
        reason: &str,
    ) -> Result<(), HookError> {
        let plugin = entry.function.generation.plugin();
        let shown: String = reason.chars().take(MAX_REASON_CHARS).collect();
        tracing::warn!(
            plugin.name = &**plugin,
            hook = name,
            request.id = &*by.request_id,
            app.id = &*by.app_id,
            required = entry.spec.required,
            reason = shown,
            "hook.failed"
        );
        if !entry.spec.required {
            return Ok(());
        }
        Err(HookError::Failed {
            hook: name.to_owned(),
            plugin: Arc::clone(plugin),
            reason: shown,
        })
    }
}

/// `[value, *args]`, as the function is called.
fn arguments(value: Option<&Bytes>, args: &[&RawValue]) -> Bytes {
    let length = args.iter().map(|arg| arg.get().len() + 1).sum::<usize>();
    let mut array = BytesMut::with_capacity(value.map_or(0, Bytes::len) + length + 3);
    array.put_u8(b'[');
    let parts = value
        .map(|value| &**value)
        .into_iter()
        .chain(args.iter().map(|arg| arg.get().as_bytes()));
    for (at, part) in parts.enumerate() {
        if at > 0 {
            array.put_u8(b',');
        }
        array.put_slice(part);
    }
    array.put_u8(b']');
    array.freeze()
}
