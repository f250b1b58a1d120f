//! Steps of a plugin's life. Each worker has modules of its own, so each takes them; a worker that comes
//! later takes those that still count.

use std::{collections::HashSet, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use mozaiks_plugins::{
    CallError, CallId, CallResult, Generation, Input, Invocation, Started, Target, Wants,
};
use tokio::sync::oneshot;

use super::WorkerPool;
use crate::worker::Worker;

/// A step that concerns every worker.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Step {
    name: Box<str>,
    /// As the gateway wrote it.
    arguments: Bytes,
    app_id: Option<Arc<str>>,
}

/// Steps that each worker takes; any other (a look at its health) is a call like others.
const EVERYWHERE: [&str; 5] = [
    "on_load",
    "on_enable",
    "on_disable",
    "on_unload",
    "on_config_change",
];

impl Step {
    pub(super) fn of(arguments: &Bytes, app_id: Option<&Arc<str>>) -> Option<Self> {
        let parsed: serde_json::Value = serde_json::from_slice(arguments).ok()?;
        let name = parsed.get(0)?.get("name")?.as_str()?;
        EVERYWHERE.contains(&name).then(|| Self {
            name: name.into(),
            arguments: arguments.clone(),
            app_id: app_id.cloned(),
        })
    }

    /// As a call of one more worker.
    fn call(
        &self,
        generation: Generation,
        wants: Wants,
        request_id: Arc<str>,
        timeout: Duration,
    ) -> Invocation {
        Invocation {
            id: CallId::next(),
            target: Target::Life(generation),
            input: Input::Arguments(self.arguments.clone()),
            wants,
            principal: None,
            app_id: self.app_id.clone(),
            request_id,
            timeout,
            record: None,
            permit: None,
            started: Started::default(),
        }
    }
}

/// Apps in which a new worker is brought up at the same time.
const STEPS_AT_A_TIME: usize = 8;

impl WorkerPool {
    /// Takes a step in every worker; the answer is the first one's, or the first failure.
    pub(super) fn take_step(
        &self,
        generation: Generation,
        step: Step,
        call: Invocation,
    ) -> oneshot::Receiver<CallResult> {
        let (answer, receiver) = oneshot::channel();
        let Some(me) = self.me.upgrade() else {
            return receiver;
        };
        if let Some(done) = self.step_at_rest(generation, &step) {
            answer.send(done).ok();
            return receiver;
        }
        self.handle.spawn(async move {
            if me.rests() {
                me.awaken(call.timeout).await;
            }
            let outcome = me.step_in_all(generation, &step, call).await;
            // What was to end is over, however that went.
            if outcome.is_ok() || *step.name == *"on_disable" {
                let is_loading = *step.name == *"on_load";
                me.note_step(generation, step);
                if is_loading {
                    me.describe(generation);
                }
            }
            answer.send(outcome).ok();
        });
        receiver
    }

    async fn step_in_all(
        &self,
        generation: Generation,
        step: &Step,
        call: Invocation,
    ) -> CallResult {
        let workers: Vec<Arc<Worker>> = {
            let state = self.state.lock();
            let workers = state.slots.iter().filter_map(|slot| slot.worker.clone());
            workers.filter(|worker| worker.has(generation)).collect()
        };
        let mut answers = Vec::new();
        let (wants, request_id, timeout) = (call.wants, Arc::clone(&call.request_id), call.timeout);
        // The dispatcher knows the first one's number and has given it a permit.
        let mut first = Some(call);
        for worker in workers {
            let call = first
                .take()
                .unwrap_or_else(|| step.call(generation, wants, Arc::clone(&request_id), timeout));
            answers.push(worker.send(call, (generation, Target::Life(generation))));
        }
        let mut outcome: CallResult = Err(CallError::NotLoaded);
        for (at, each) in answers.into_iter().enumerate() {
            let each = each.await.unwrap_or(Err(CallError::NotLoaded));
            if at == 0 || (outcome.is_ok() && each.is_err()) {
                outcome = each;
            }
        }
        outcome
    }

    /// What a worker that comes later has to do.
    pub(super) fn note_step(&self, generation: Generation, step: Step) {
        let mut state = self.state.lock();
        let Some(record) = state.records.get_mut(&generation) else {
            return;
        };
        let is_it = |known: &Step, name: &str| *known.name == *name && known.app_id == step.app_id;
        match &*step.name {
            "on_load" | "on_enable" => {
                record.steps.retain(|known| !is_it(known, &step.name));
                record.steps.push(step);
            }
            "on_disable" => record.steps.retain(|known| !is_it(known, "on_enable")),
            "on_unload" => record.steps.clear(),
            // The new configuration is what a later worker reads.
            _ => {}
        }
    }

    /// What a worker that begins has not done yet of what the others have.
    pub(super) fn missed_steps(
        &self,
        worker: &Worker,
        taken: &HashSet<(Generation, Step)>,
    ) -> Vec<(Generation, Step)> {
        let state = self.state.lock();
        let records = (state.records.iter())
            .filter(|(generation, record)| record.confirmed && worker.has(**generation));
        let steps = records.flat_map(|(generation, record)| {
            record.steps.iter().map(|step| (*generation, step.clone()))
        });
        steps.filter(|step| !taken.contains(step)).collect()
    }

    /// Takes, in a new worker, the steps that were taken before: loading first, then several apps at a
    /// time. What fails in one app is no reason to leave out the others.
    ///
    /// # Errors
    /// Which failed first, and how.
    pub(super) async fn repeat_steps(
        &self,
        worker: &Worker,
        generation: Generation,
        steps: &[Step],
        timeout: Duration,
    ) -> Result<(), String> {
        let (loading, enabling): (Vec<&Step>, Vec<&Step>) =
            steps.iter().partition(|step| *step.name == *"on_load");
        for step in loading {
            repeat_step(worker, generation, step, timeout).await?;
        }
        // They do nothing before they are polled.
        let apps: Vec<_> = enabling
            .into_iter()
            .map(|step| repeat_step(worker, generation, step, timeout))
            .collect();
        stream::iter(apps)
            .buffer_unordered(STEPS_AT_A_TIME)
            .fold(Ok(()), |first: Result<(), String>, next| async move {
                first.and(next)
            })
            .await
    }
}

async fn repeat_step(
    worker: &Worker,
    generation: Generation,
    step: &Step,
    timeout: Duration,
) -> Result<(), String> {
    let request_id = format!("{}-{}", step.name, generation.0).into();
    let call = step.call(generation, Wants::Anything, request_id, timeout);
    let answer = worker.send(call, (generation, Target::Life(generation)));
    match tokio::time::timeout(timeout, answer).await {
        Ok(Ok(Ok(_))) => Ok(()),
        Ok(Ok(Err(error))) => Err(format!("{}: {error}", step.name)),
        Ok(Err(_)) => Err(format!("{}: the worker has ended", step.name)),
        Err(_) => Err(format!("{}: it takes too long", step.name)),
    }
}
