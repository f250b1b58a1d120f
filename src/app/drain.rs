//! The end of the gateway's service: what is under way ends, or its time is up.

use std::time::Duration;

use crate::{http::App, server::RunningServer};
use mozaiks_lifecycle::jobs::JobRunner;
use mozaiks_notifications::{DeliveryWorkers, Scheduler};

/// How long subscribers may take for what was published before.
const DRAIN_EVENTS: Duration = Duration::from_secs(5);
/// How often it is looked whether the last call has ended.
const DRAIN_LOOK: Duration = Duration::from_millis(10);

/// No new calls, no new connections; running calls and their answers finish, or their time is up.
/// What is queued for later stays in the database.
pub(super) async fn drain(
    app: &App,
    serving: RunningServer,
    jobs: JobRunner,
    scheduler: Scheduler,
    deliveries: DeliveryWorkers,
) {
    app.realtime.hub.shut_down();
    jobs.close();
    app.plugin_logs.close();
    let finished = async {
        serving.drain().await;
        // Calls whose clients have gone away.
        while app.dispatcher.in_flight() > 0 {
            tokio::time::sleep(DRAIN_LOOK).await;
        }
        let undelivered = app.events.drain(DRAIN_EVENTS).await;
        if undelivered > 0 {
            tracing::warn!(events = undelivered, "events were not delivered in time");
        }
        // What the last events called, also where the bus no longer waits for it.
        while app.dispatcher.in_flight() > 0 {
            tokio::time::sleep(DRAIN_LOOK).await;
        }
        jobs.stop().await;
        scheduler.stop().await;
        deliveries.stop().await;
    };
    if tokio::time::timeout(app.server.drain_timeout, finished)
        .await
        .is_err()
    {
        tracing::warn!(
            calls = app.dispatcher.in_flight(),
            "the time for draining is up"
        );
    }
}
