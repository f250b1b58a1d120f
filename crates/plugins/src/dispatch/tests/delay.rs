//! Calls that would wait for too long are refused; those of others are not.

use super::*;
use crate::queue_delay::DelayLimit;

/// Whatever waits has waited for longer by the time that the next call comes.
fn at_once() -> DelayLimit {
    DelayLimit::new(Duration::from_nanos(1), Duration::ZERO)
}

fn limited(plugin: DelayLimit, gateway: DelayLimit) -> Arc<Dispatcher> {
    Dispatcher::with_limits(Vec::new(), DelayLimits { plugin, gateway })
}

fn refused(plugin: &Plugin, reason: RefusalReason) -> u64 {
    let mut refused = plugin.traffic().metrics.refused();
    refused.nth(reason as usize).unwrap().1
}

#[tokio::test]
async fn behind_a_call_that_waits_for_too_long_no_more_are_taken() {
    let runtime = Arc::new(Held::default());
    runtime.waits.store(true, Ordering::Relaxed);
    let dispatcher = limited(at_once(), DelayLimit::none());
    let (plugin, other) = (active(&runtime, 8), active(&runtime, 8));
    let invoke =
        |plugin: &Plugin, kind| dispatcher.invoke(generation_of(plugin), handler_call(kind));
    let first = invoke(&plugin, CallKind::Route).unwrap();
    for _ in 0..3 {
        let refusal = invoke(&plugin, CallKind::Route).err();
        assert!(matches!(refusal, Some(DispatchError::Overloaded)));
    }
    assert!(matches!(
        dispatcher.check(&plugin, "app"),
        Err(DispatchError::Overloaded)
    ));
    assert_eq!(refused(&plugin, RefusalReason::PluginDelay), 4);
    assert_eq!(plugin.in_flight(), 1, "what is refused takes nothing");
    // What the gateway owes is not refused, and another plugin's calls go on.
    let event = invoke(&plugin, CallKind::Event).unwrap();
    let others = invoke(&other, CallKind::Route).unwrap();
    assert_eq!(dispatcher.queue().waiting(), 3);

    for (call, _) in &*runtime.calls.lock() {
        assert!(call.started.begin());
    }
    assert_eq!(dispatcher.queue().waiting(), 0);
    assert_eq!(plugin.traffic().queue.waiting(), 0);
    let again = invoke(&plugin, CallKind::Route).unwrap();
    runtime.answer_all();
    for call in [first, event, others, again] {
        call.await.unwrap();
    }
    assert_eq!(plugin.traffic().queue.waiting(), 0);
    assert_eq!(refused(&plugin, RefusalReason::PluginDelay), 4);
}

#[tokio::test]
async fn the_queue_of_all_keeps_out_whoever_has_calls_in_it() {
    let runtime = Arc::new(Held::default());
    runtime.waits.store(true, Ordering::Relaxed);
    let dispatcher = limited(DelayLimit::none(), at_once());
    let (plugin, idle) = (active(&runtime, 8), active(&runtime, 8));
    let invoke =
        |plugin: &Plugin| dispatcher.invoke(generation_of(plugin), handler_call(CallKind::Route));
    let first = invoke(&plugin).unwrap();
    assert!(invoke(&plugin).is_err());
    assert_eq!(refused(&plugin, RefusalReason::GatewayDelay), 1);
    let probe = invoke(&idle).unwrap();
    assert!(invoke(&idle).is_err());
    runtime.answer_all();
    for call in [first, probe] {
        call.await.unwrap();
    }
    assert_eq!(
        dispatcher.queue().waiting(),
        0,
        "never heard to begin, and ended"
    );
    let again = invoke(&plugin).unwrap();
    runtime.answer_all();
    again.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_call_that_never_begins_leaves_the_queue_with_its_time() {
    let runtime = Arc::new(Held::default());
    runtime.waits.store(true, Ordering::Relaxed);
    let dispatcher = limited(DelayLimit::none(), DelayLimit::none());
    let plugin = active(&runtime, 8);
    let late = call(&dispatcher, &plugin).await;
    assert!(matches!(late, Err(DispatchError::NotStarted(_))));
    assert_eq!(plugin.traffic().queue.waiting(), 0);
    assert_eq!(dispatcher.queue().waiting(), 0);
    runtime.answer_all();
    assert_eq!(dispatcher.queue().waiting(), 0);
}
