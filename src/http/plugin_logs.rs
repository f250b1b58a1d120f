//! `GET /api/plugins/registry/{name}/logs`: the latest log lines of a plugin, and those that come.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderValue, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::{
    arguments::{Arguments, PathId},
    error::ApiError,
    identify::Admin,
    plugin_life::find,
    state::{App, AppState},
    typed::{Answer, Description, Gives},
};
use mozaiks_auth::Principal;
use mozaiks_telemetry::plugin_logs::{Audience, Cursor, Follower, LogPage, PluginLogs};

/// Lines of an answer where the client does not say.
const DEFAULT_LIMIT: usize = 100;
/// Lines of an answer at most, and of one piece of a stream.
const MAX_LIMIT: usize = 1000;
/// An empty line after so long without one: a client that has gone is noticed.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Which lines.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Wanted {
    /// How many at most.
    limit: Option<usize>,
    /// `next_cursor` of the answer before.
    since: Option<String>,
    /// As they come, a JSON object a line, without an end.
    #[serde(default)]
    follow: bool,
}

/// Log lines of a plugin.
#[derive(Serialize, JsonSchema)]
pub(super) struct LogList {
    count: usize,
    /// The oldest first.
    logs: Vec<Map<String, Value>>,
    /// How many were overwritten before they were read.
    missed: u64,
    next_cursor: String,
}

/// Lines now, or from now on.
pub(super) enum Lines {
    Now(LogList),
    Coming(Response),
}

impl IntoResponse for Lines {
    fn into_response(self) -> Response {
        match self {
            Self::Now(list) => Answer(list).into_response(),
            Self::Coming(response) => response,
        }
    }
}

impl Gives for Lines {
    fn describe(description: &mut Description<'_>) {
        Answer::<LogList>::describe(description);
    }
}

/// The latest lines, or those after `since`; with `follow=true` one JSON object a line, without an end.
pub(super) async fn list_logs(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    PathId(name): PathId<String>,
    Arguments(wanted): Arguments<Wanted>,
) -> Result<Lines, ApiError> {
    // A name that is none has no lines, and makes no room for any.
    let plugin = find(&app, &principal, &name)?;
    let limit = wanted.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT);
    let audience = audience(&principal);
    let logs = &app.plugin_logs;
    // Before the first look, so that nothing comes in between.
    let follower = match wanted.follow {
        true => Some(
            logs.follow(&plugin.name)
                .ok_or(ApiError::Overloaded("too many follow log lines"))?,
        ),
        false => None,
    };
    let page = match &wanted.since {
        None => logs.latest(&plugin.name, &audience, limit),
        Some(cursor) => {
            let cursor = Cursor::parse(cursor)
                .ok_or_else(|| ApiError::invalid("since must be a cursor", "since"))?;
            logs.since(&plugin.name, &audience, cursor, limit)
        }
    };
    match follower {
        None => Ok(Lines::Now(whole(&page)?)),
        Some(follower) => {
            let following = Following::new(&app, &plugin.name, &principal, follower, page);
            Ok(Lines::Coming(following.answer()))
        }
    }
}

/// With many apps an admin reads what was logged for the own one, and what belongs to none.
fn audience(principal: &Principal) -> Audience {
    if principal.is_superadmin {
        Audience::Everyone
    } else {
        Audience::App(Arc::clone(&principal.app_id))
    }
}

fn whole(page: &LogPage) -> Result<LogList, ApiError> {
    let lines: Result<Vec<_>, _> = (page.lines.iter())
        .map(|line| serde_json::from_str(line))
        .collect();
    let logs: Vec<_> = lines.map_err(|error| ApiError::Internal(error.to_string()))?;
    Ok(LogList {
        count: logs.len(),
        logs,
        missed: page.missed,
        next_cursor: page.next.to_string(),
    })
}

/// A client that is sent lines as they come.
struct Following {
    logs: Arc<PluginLogs>,
    plugin: Arc<str>,
    audience: Audience,
    follower: Follower,
    /// When the client's token ends, and the stream with it.
    until: Instant,
    /// What was read and not yet sent.
    page: Option<LogPage>,
    next: Cursor,
}

impl Following {
    fn new(
        app: &App,
        plugin: &Arc<str>,
        principal: &Principal,
        follower: Follower,
        page: LogPage,
    ) -> Self {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        let left = Duration::from_secs(principal.expires_at_unix).saturating_sub(now);
        // A token without an end in sight is looked at again by nobody: a day is enough for a log.
        let left = left.min(Duration::from_secs(86_400));
        Self {
            logs: Arc::clone(&app.plugin_logs),
            plugin: Arc::clone(plugin),
            audience: audience(principal),
            follower,
            until: Instant::now() + left,
            next: page.next,
            page: Some(page),
        }
    }

    fn answer(self) -> Response {
        let pieces = futures_util::stream::unfold(self, |mut this| async move {
            let piece = this.piece().await?;
            Some((Ok::<_, std::convert::Infallible>(piece), this))
        });
        let mut response = Response::new(Body::from_stream(pieces));
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-ndjson"),
        );
        response
    }

    /// What comes next; `None` at the end.
    async fn piece(&mut self) -> Option<Bytes> {
        // The head of the answer goes out with the first piece, also where there is no line yet.
        if let Some(page) = self.page.take() {
            return Some(self.written(&page));
        }
        loop {
            let beat = Instant::now() + HEARTBEAT;
            let news = tokio::time::timeout_at(beat.min(self.until), self.follower.wait(self.next));
            match news.await {
                Ok(true) => {}
                Ok(false) => return None,
                Err(_) if Instant::now() >= self.until => return None,
                Err(_) => return Some(Bytes::from_static(b"\n")),
            }
            let page = (self.logs).since(&self.plugin, &self.audience, self.next, MAX_LIMIT);
            self.next = page.next;
            // Lines of other apps are none for this client.
            if !page.lines.is_empty() || page.missed > 0 {
                return Some(self.written(&page));
            }
        }
    }

    fn written(&self, page: &LogPage) -> Bytes {
        let mut text = String::new();
        if page.missed > 0 {
            text.push_str(&json!({ "missed": page.missed }).to_string());
            text.push('\n');
        }
        for line in &page.lines {
            text.push_str(line);
            text.push('\n');
        }
        if text.is_empty() {
            text.push('\n');
        }
        text.into()
    }
}
