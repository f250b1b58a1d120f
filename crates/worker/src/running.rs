//! The calls that one worker has, and for whom each is: the gateway's own table, by which it answers what
//! the worker asks. A worker names a call by its number and can say nothing of whose it is.

use std::{collections::HashMap, sync::Arc};

use mozaiks_auth::Principal;
use mozaiks_plugins::{
    CallError, CallId, CallResult, Caller, Generation, Invocation, Started, generation::Permit,
    runtime::CrashReason,
};
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Calls that have ended, and whose background work may still ask, at most: a worker that never says it
/// is done with any has all of them forgotten.
const MAX_ENDED: usize = 64 * 1024;

/// A call as the gateway knows it.
pub(crate) struct Entry {
    pub plugin: Arc<str>,
    pub generation: Generation,
    pub principal: Option<Arc<Principal>>,
    pub app_id: Option<Arc<str>>,
    pub request_id: Arc<str>,
    pub started: Started,
    /// The call itself, as long as it has not begun for all that is known.
    pub call: Option<Invocation>,
    /// `None` once it is answered.
    pub reply: Option<Reply>,
    /// Nothing of it runs any more in the worker.
    pub forgotten: bool,
}

/// Where its answer goes.
pub(crate) struct Reply {
    pub sender: oneshot::Sender<CallResult>,
    /// Given back before the caller hears.
    pub permit: Option<Permit>,
}

impl Reply {
    pub(crate) fn complete(self, result: CallResult) {
        drop(self.permit);
        // Nobody left to tell where this fails.
        self.sender.send(result).ok();
    }
}

#[derive(Default)]
struct Table {
    entries: HashMap<u64, Entry>,
    /// Entries without an answer.
    unanswered: usize,
    /// The worker is gone, for this reason.
    over: Option<CrashReason>,
}

/// The calls of one worker.
#[derive(Default)]
pub(crate) struct RunningCalls(Mutex<Table>);

impl RunningCalls {
    /// Notes a call; how many there are now. Gives it back where the worker is gone.
    pub(crate) fn begin(
        &self,
        id: CallId,
        entry: Entry,
    ) -> Result<usize, Box<(CrashReason, Entry)>> {
        let mut table = self.0.lock();
        if let Some(reason) = table.over {
            return Err(Box::new((reason, entry)));
        }
        if table.entries.len() >= table.unanswered + MAX_ENDED {
            table.entries.retain(|_, entry| entry.reply.is_some());
        }
        table.entries.insert(id.number(), entry);
        table.unanswered += 1;
        Ok(table.unanswered)
    }

    /// The worker has answered.
    pub(crate) fn end(&self, id: u64, result: CallResult) {
        let reply = {
            let mut table = self.0.lock();
            let Some(entry) = table.entries.get_mut(&id) else {
                return;
            };
            let reply = entry.reply.take();
            entry.call = None;
            if entry.forgotten {
                table.entries.remove(&id);
            }
            if reply.is_some() {
                table.unanswered -= 1;
            }
            reply
        };
        if let Some(reply) = reply {
            reply.complete(result);
        }
    }

    /// Nothing of these calls runs any more.
    pub(crate) fn forget(&self, ids: &[u64]) {
        let mut table = self.0.lock();
        for id in ids {
            if let Some(entry) = table.entries.get_mut(id) {
                entry.forgotten = true;
                if entry.reply.is_none() {
                    table.entries.remove(id);
                }
            }
        }
    }

    /// A call has begun, so many microseconds ago.
    pub(crate) fn begun(&self, id: u64, ago_us: u64) {
        if let Some(entry) = self.0.lock().entries.get_mut(&id) {
            entry.call = None;
            entry
                .started
                .began_ago(std::time::Duration::from_micros(ago_us));
        }
    }

    /// Calls that the worker has not begun and never will: another may run them.
    pub(crate) fn withdraw(&self, ids: &[u64]) -> Vec<(Invocation, oneshot::Sender<CallResult>)> {
        let mut table = self.0.lock();
        let mut taken = Vec::new();
        for id in ids {
            // What the worker says of a call that it has told of as begun is not believed.
            let known = table.entries.get(id);
            if !known.is_some_and(|entry| entry.call.is_some() && entry.reply.is_some()) {
                continue;
            }
            if let Some(entry) = table.entries.remove(id)
                && let (Some(mut call), Some(reply)) = (entry.call, entry.reply)
            {
                table.unanswered -= 1;
                call.permit = reply.permit;
                taken.push((call, reply.sender));
            }
        }
        taken
    }

    /// Who asks, where that call is known.
    pub(crate) fn caller(&self, id: u64) -> Option<Caller> {
        let table = self.0.lock();
        let entry = table.entries.get(&id)?;
        Some(Caller {
            plugin: Arc::clone(&entry.plugin),
            generation: entry.generation,
            principal: entry.principal.clone(),
            app_id: entry.app_id.clone(),
            request_id: Some(Arc::clone(&entry.request_id)),
            call: Some(CallId::of_number(id)),
        })
    }

    /// Ends a call that has not begun for all that is known; the worker has been told not to begin it.
    pub(crate) fn give_up_unbegun(&self, id: CallId) -> bool {
        let waits = {
            let table = self.0.lock();
            let entry = table.entries.get(&id.number());
            entry.is_some_and(|entry| entry.call.is_some())
        };
        if waits {
            self.end(id.number(), Err(CallError::Cancelled));
        }
        waits
    }

    /// Whether a call waits for its answer.
    pub(crate) fn is_running(&self, id: CallId) -> bool {
        let table = self.0.lock();
        let entry = table.entries.get(&id.number());
        entry.is_some_and(|entry| entry.reply.is_some())
    }

    /// Whether nothing runs, nor any background work of what has been answered.
    pub(crate) fn is_idle(&self) -> bool {
        self.0.lock().entries.is_empty()
    }

    /// Calls without an answer.
    pub(crate) fn count(&self) -> usize {
        self.0.lock().unanswered
    }

    /// The worker is gone: everybody who waits is told, and nobody waits from here on.
    pub(crate) fn fail(&self, reason: CrashReason) {
        let entries = {
            let mut table = self.0.lock();
            table.over.get_or_insert(reason);
            table.unanswered = 0;
            std::mem::take(&mut table.entries)
        };
        for reply in entries.into_values().filter_map(|entry| entry.reply) {
            reply.complete(Err(CallError::WorkerCrashed(reason)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(user: &str) -> (Entry, oneshot::Receiver<CallResult>) {
        let (sender, receiver) = oneshot::channel();
        let principal = Principal {
            app_id: "shop".into(),
            user_id: user.into(),
            username: None,
            roles: Vec::new(),
            is_superadmin: false,
            expires_at_unix: 0,
            verified: Default::default(),
        };
        let entry = Entry {
            plugin: "p".into(),
            generation: Generation(1),
            app_id: Some(Arc::clone(&principal.app_id)),
            principal: Some(Arc::new(principal)),
            request_id: "r".into(),
            started: Started::default(),
            call: None,
            reply: Some(Reply {
                sender,
                permit: None,
            }),
            forgotten: false,
        };
        (entry, receiver)
    }

    fn user_of(calls: &RunningCalls, id: u64) -> Option<String> {
        let caller = calls.caller(id)?;
        Some(caller.principal?.user_id.to_string())
    }

    #[test]
    fn a_worker_speaks_for_its_own_calls_and_only_while_something_of_them_runs() {
        let calls = RunningCalls::default();
        let (ann, mut answer) = entry("ann");
        assert!(calls.begin(CallId::of_number(7), ann).is_ok());
        assert_eq!(user_of(&calls, 7).as_deref(), Some("ann"));
        assert!(calls.caller(8).is_none(), "a call of nobody's");
        // Its background work goes on after the answer, and may ask.
        calls.end(7, Err(CallError::Cancelled));
        assert!(answer.try_recv().is_ok());
        assert_eq!(user_of(&calls, 7).as_deref(), Some("ann"));
        calls.forget(&[7]);
        assert!(calls.caller(7).is_none());
        // An answer for what is over, and a second one, are nobody's.
        calls.end(7, Err(CallError::Cancelled));
        assert_eq!(calls.count(), 0);
    }

    #[test]
    fn whoever_waits_for_a_dead_worker_is_told_and_nobody_waits_after() {
        let calls = RunningCalls::default();
        let (ann, mut answer) = entry("ann");
        assert!(calls.begin(CallId::of_number(1), ann).is_ok());
        calls.fail(CrashReason::Memory);
        let told = answer.try_recv().unwrap();
        assert!(matches!(
            told,
            Err(CallError::WorkerCrashed(CrashReason::Memory))
        ));
        let (bob, _) = entry("bob");
        assert!(calls.begin(CallId::of_number(2), bob).is_err());
    }

    #[test]
    fn a_call_that_was_told_of_as_begun_is_not_given_back() {
        let calls = RunningCalls::default();
        let (ann, _answer) = entry("ann");
        assert!(calls.begin(CallId::of_number(1), ann).is_ok());
        assert!(calls.withdraw(&[1, 2]).is_empty());
    }
}
