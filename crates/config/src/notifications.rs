//! Notifications: their bounds, and the channels by which they leave the gateway.

use std::{path::PathBuf, time::Duration};

use super::Problem;

/// Bounds and channels of the notifications.
#[derive(Debug, Clone)]
pub struct NotificationsConfig {
    /// Notifications kept for a user; older ones go. `MOZAIKS_NOTIFICATIONS_KEEP`
    pub keep_per_user: usize,
    /// How long a `dedup_key` counts. `MOZAIKS_NOTIFICATIONS_DEDUP_SECONDS`
    pub dedup_window: Duration,
    /// Bytes of title, message and metadata together. `MOZAIKS_NOTIFICATIONS_MAX_BYTES`
    pub max_bytes: usize,
    /// Users of one bulk call. `MOZAIKS_NOTIFICATIONS_MAX_BULK`
    pub max_bulk: usize,
    /// Attempts of one delivery before it is a dead letter. `MOZAIKS_DELIVERY_ATTEMPTS`
    pub delivery_attempts: usize,
    /// Wait before the second attempt; doubles with each further one.
    /// `MOZAIKS_DELIVERY_RETRY_SECONDS`
    pub delivery_retry: Duration,
    /// How long a claimed job is left to its worker. `MOZAIKS_JOB_LEASE_SECONDS`
    pub job_lease: Duration,
    /// How often a worker looks for jobs that nobody told it of. `MOZAIKS_JOB_POLL_SECONDS`
    pub job_poll: Duration,
    /// Deliveries of one channel under way at a time. `MOZAIKS_DELIVERY_CONCURRENCY`
    pub delivery_concurrency: usize,
    /// Users of a broadcast handled between two saves of its progress. `MOZAIKS_BROADCAST_BATCH`
    pub broadcast_batch: usize,
    /// Hour of the day (UTC) at which digests go out. `MOZAIKS_DIGEST_HOUR`
    pub digest_hour: usize,
    /// Types beside those of plugins. `MOZAIKS_NOTIFICATIONS_CONFIG` (default:
    /// `notifications_config.json` beside the plugins directory or in the working directory, where
    /// there is one)
    pub types_file: Option<PathBuf>,
    /// Templates. `MOZAIKS_NOTIFICATION_TEMPLATES` (default: `notification_templates.json`, found in
    /// the same way)
    pub templates_file: Option<PathBuf>,
    /// The channels that are configured.
    pub channels: ChannelsConfig,
}

impl Default for NotificationsConfig {
    fn default() -> Self {
        Self {
            keep_per_user: 1000,
            dedup_window: Duration::from_secs(24 * 3600),
            max_bytes: 64 * 1024,
            max_bulk: 1000,
            delivery_attempts: 5,
            delivery_retry: Duration::from_secs(5),
            job_lease: Duration::from_secs(60),
            job_poll: Duration::from_secs(1),
            delivery_concurrency: 4,
            broadcast_batch: 200,
            digest_hour: 8,
            types_file: None,
            templates_file: None,
            channels: ChannelsConfig::default(),
        }
    }
}

/// What the operator has configured. A channel that is `None` is off.
#[derive(Clone)]
pub struct ChannelsConfig {
    /// Mail.
    pub email: Option<EmailConfig>,
    /// Text messages.
    pub sms: Option<SmsConfig>,
    /// Web push.
    pub push: Option<PushConfig>,
    /// One attempt. `MOZAIKS_DELIVERY_TIMEOUT_SECONDS`
    pub send_timeout: Duration,
}

/// How mail leaves.
#[derive(Clone)]
pub enum EmailConfig {
    /// A mail server.
    Smtp {
        /// `smtp://host:port`, `smtp://…?tls=required` or `smtps://user:password@host:port`.
        /// `MOZAIKS_SMTP_URL`
        url: String,
        /// The sender. `MOZAIKS_EMAIL_FROM`
        from: String,
    },
    /// A service that takes `{from, to, subject, text, html}` as JSON.
    Http {
        /// Where to post. `MOZAIKS_EMAIL_HTTP_URL`
        url: String,
        /// Bearer token. `MOZAIKS_EMAIL_HTTP_TOKEN`
        token: Option<String>,
        /// The sender. `MOZAIKS_EMAIL_FROM`
        from: String,
    },
}

/// A service of Twilio's REST shape.
#[derive(Clone)]
pub struct SmsConfig {
    /// Its base, without `/2010-04-01`. `MOZAIKS_SMS_URL`
    pub url: String,
    /// `MOZAIKS_SMS_ACCOUNT_SID`
    pub account_sid: String,
    /// `MOZAIKS_SMS_AUTH_TOKEN`
    pub auth_token: String,
    /// The sending number. `MOZAIKS_SMS_FROM`
    pub from: String,
}

/// Web push.
#[derive(Clone)]
pub struct PushConfig {
    /// The application server's private key, base64url. `MOZAIKS_VAPID_PRIVATE_KEY`
    pub private_key: String,
    /// `mailto:` or `https:` address of the operator. `MOZAIKS_VAPID_CONTACT`
    pub contact: String,
    /// Hosts (and their subdomains) that browsers may name as push service: the endpoint comes from
    /// the client, and the gateway must not be talked into calling any other. `MOZAIKS_PUSH_HOSTS`
    pub hosts: Vec<String>,
}

/// The push services of the browsers.
pub(super) const DEFAULT_PUSH_HOSTS: &str = "fcm.googleapis.com,push.services.mozilla.com,\
     notify.windows.com,push.apple.com,push.samsungosp.com";

impl PushConfig {
    /// Whether a browser's endpoint may be called: HTTPS at a listed host; plain HTTP only where
    /// the loopback itself is listed.
    pub fn allows(&self, endpoint: &str) -> bool {
        let Ok(uri) = endpoint.parse::<http::Uri>() else {
            return false;
        };
        let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else {
            return false;
        };
        let plain_authority = !uri
            .authority()
            .is_some_and(|part| part.as_str().contains('@'));
        let is_listed = self.hosts.iter().any(|listed| {
            host.strip_suffix(listed.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        });
        let is_secure = scheme == "https" || (scheme == "http" && host == "127.0.0.1");
        plain_authority && is_listed && is_secure
    }
}

impl Default for ChannelsConfig {
    fn default() -> Self {
        Self {
            email: None,
            sms: None,
            push: None,
            send_timeout: Duration::from_secs(15),
        }
    }
}

impl std::fmt::Debug for ChannelsConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let email = self.email.as_ref().map(|email| match email {
            EmailConfig::Smtp { .. } => "smtp",
            EmailConfig::Http { .. } => "http",
        });
        f.debug_struct("ChannelsConfig")
            .field("email", &email)
            .field("sms", &self.sms.is_some())
            .field("push", &self.push.is_some())
            .field("send_timeout", &self.send_timeout)
            .finish()
    }
}

/// The channels' keys as they were given; some only mean something together.
#[derive(Clone)]
pub(super) struct ChannelInputs {
    pub(super) smtp_url: Option<String>,
    pub(super) email_from: Option<String>,
    pub(super) email_http_url: Option<String>,
    pub(super) email_http_token: Option<String>,
    pub(super) sms_url: String,
    pub(super) sms_account_sid: Option<String>,
    pub(super) sms_auth_token: Option<String>,
    pub(super) sms_from: Option<String>,
    pub(super) vapid_private_key: Option<String>,
    pub(super) vapid_contact: Option<String>,
    pub(super) push_hosts: String,
}

impl Default for ChannelInputs {
    fn default() -> Self {
        Self {
            smtp_url: None,
            email_from: None,
            email_http_url: None,
            email_http_token: None,
            sms_url: "https://api.twilio.com".into(),
            sms_account_sid: None,
            sms_auth_token: None,
            sms_from: None,
            vapid_private_key: None,
            vapid_contact: None,
            push_hosts: DEFAULT_PUSH_HOSTS.into(),
        }
    }
}

/// Joins what was given for each channel; half a channel is a problem.
pub(super) fn join(
    inputs: &ChannelInputs,
    config: &mut NotificationsConfig,
    problems: &mut Vec<Problem>,
) {
    let mut problem = |key: &str, found: &str, allowed: &str| {
        problems.push(Problem {
            key: key.into(),
            origin: "several keys together".into(),
            found: found.into(),
            allowed: allowed.into(),
        });
    };
    let channels = &mut config.channels;
    channels.email = match (&inputs.smtp_url, &inputs.email_http_url, &inputs.email_from) {
        (None, None, _) => None,
        (Some(_), Some(_), _) => {
            problem(
                "smtp_url, email_http_url",
                "both",
                "one way for mail to leave",
            );
            None
        }
        (_, _, None) => {
            problem(
                "email_from",
                "nothing",
                "the sender's address, where mail is configured",
            );
            None
        }
        (Some(url), None, Some(from)) => Some(EmailConfig::Smtp {
            url: url.clone(),
            from: from.clone(),
        }),
        (None, Some(url), Some(from)) => Some(EmailConfig::Http {
            url: url.clone(),
            token: inputs.email_http_token.clone(),
            from: from.clone(),
        }),
    };
    channels.sms = match (
        &inputs.sms_account_sid,
        &inputs.sms_auth_token,
        &inputs.sms_from,
    ) {
        (None, None, None) => None,
        (Some(account_sid), Some(auth_token), Some(from)) => Some(SmsConfig {
            url: inputs.sms_url.clone(),
            account_sid: account_sid.clone(),
            auth_token: auth_token.clone(),
            from: from.clone(),
        }),
        _ => {
            problem(
                "sms_account_sid, sms_auth_token, sms_from",
                "some of them",
                "all three, or none",
            );
            None
        }
    };
    channels.push = match (&inputs.vapid_private_key, &inputs.vapid_contact) {
        (None, None) => None,
        (Some(private_key), Some(contact)) => Some(PushConfig {
            private_key: private_key.clone(),
            contact: contact.clone(),
            hosts: inputs
                .push_hosts
                .split(',')
                .map(|host| host.trim().to_owned())
                .filter(|host| !host.is_empty())
                .collect(),
        }),
        _ => {
            problem(
                "vapid_private_key, vapid_contact",
                "one of them",
                "both, or none",
            );
            None
        }
    };
    if config.job_lease <= config.channels.send_timeout {
        problem(
            "job_lease_seconds",
            "no more than delivery_timeout_seconds",
            "more than delivery_timeout_seconds, or a job under way is taken twice",
        );
    }
}
