//! The rows of notifications and their channels.

use super::{KIB, MIB, ms, secs};
use crate::{
    keys::{Key, bytes, count, key, optional_path, optional_text, seconds, text},
    value,
};

pub(super) const NOTIFICATIONS: &[Key] = &[
    key!(
        "notifications_keep",
        "Notifications kept for a user; older ones go.",
        count(|s| &mut s.config.notifications.keep_per_user, 1, 100_000),
    ),
    key!(
        "notifications_dedup_seconds",
        "How long a `dedup_key` in the metadata counts.",
        seconds(|s| &mut s.config.notifications.dedup_window, ms(10), secs(30 * 86_400)),
    ),
    key!(
        "notifications_max_bytes",
        "Size of a notification's title, message and metadata together.",
        bytes(|s| &mut s.config.notifications.max_bytes, KIB, MIB),
    ),
    key!(
        "notifications_max_bulk",
        "Users of one bulk call.",
        count(|s| &mut s.config.notifications.max_bulk, 1, 100_000),
    ),
    key!(
        "notifications_config",
        "File with types of notifications beside those of plugins; without it `notifications_config.json` beside the plugins directory or in the working directory, where there is one.",
        optional_path(|s| &mut s.config.notifications.types_file),
    ),
    key!(
        "notification_templates",
        "File with templates; without it `notification_templates.json`, looked for in the same places.",
        optional_path(|s| &mut s.config.notifications.templates_file),
    ),
    key!(
        "delivery_attempts",
        "Attempts of one delivery by mail, text message or web push before it is a dead letter.",
        count(|s| &mut s.config.notifications.delivery_attempts, 1, 100),
    ),
    key!(
        "delivery_retry_seconds",
        "Wait before the second attempt; doubles with each further one, up to an hour.",
        seconds(|s| &mut s.config.notifications.delivery_retry, ms(10), secs(3600)),
    ),
    key!(
        "delivery_timeout_seconds",
        "Time for one attempt.",
        seconds(|s| &mut s.config.notifications.channels.send_timeout, ms(100), secs(600)),
    ),
    key!(
        "delivery_concurrency",
        "Deliveries of one channel under way at a time.",
        count(|s| &mut s.config.notifications.delivery_concurrency, 1, 256),
    ),
    key!(
        "job_lease_seconds",
        "How long a claimed job is left to its worker; longer than `delivery_timeout_seconds`.",
        seconds(|s| &mut s.config.notifications.job_lease, ms(200), secs(3600)),
    ),
    key!(
        "job_poll_seconds",
        "How often workers look for jobs that nobody told them of.",
        seconds(|s| &mut s.config.notifications.job_poll, ms(10), secs(60)),
    ),
    key!(
        "broadcast_batch",
        "Users of a broadcast between two saves of its progress.",
        count(|s| &mut s.config.notifications.broadcast_batch, 1, 10_000),
    ),
    key!(
        "digest_hour",
        "Hour of the day (UTC) at which digests go out.",
        count(|s| &mut s.config.notifications.digest_hour, 0, 23),
    )
    .aliases(&["NOTIFICATION_DIGEST_DAILY_HOUR"]),
    key!(
        "smtp_url",
        "Mail server for notifications by mail.",
        optional_text(|s| &mut s.channels.smtp_url, |text| text.starts_with("smtp://") || text.starts_with("smtps://"), "smtps://user:password@host:port, or smtp://host:port with ?tls=required or ?tls=opportunistic"),
    )
    .uri(),
    key!(
        "email_from",
        "Sender of mail.",
        optional_text(|s| &mut s.channels.email_from, |text| {
                !text.contains(char::is_control) && text.parse::<lettre::message::Mailbox>().is_ok()
            }, "a mail address, such as Notes <notes@example.com>"),
    ),
    key!(
        "email_http_url",
        "Service that mail is posted to as JSON, in place of a mail server.",
        optional_text(|s| &mut s.channels.email_http_url, value::is_safe_url, "a URL with https, or http to the loopback"),
    )
    .aliases(&["EMAIL_SERVICE_URL"])
    .uri(),
    key!(
        "email_http_token",
        "Bearer token for it.",
        optional_text(|s| &mut s.channels.email_http_token, is_header_text, "text of visible ASCII characters"),
    )
    .aliases(&["EMAIL_SERVICE_API_KEY"])
    .secret(),
    key!(
        "sms_url",
        "Service of Twilio's REST shape for text messages.",
        text(|s| &mut s.channels.sms_url, value::is_safe_url, "a URL with https, or http to the loopback"),
    )
    .uri(),
    key!(
        "sms_account_sid",
        "Account with it.",
        optional_text(|s| &mut s.channels.sms_account_sid, |text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric()), "letters and digits"),
    )
    .aliases(&["SMS_ACCOUNT_SID"]),
    key!(
        "sms_auth_token",
        "Secret of the account.",
        optional_text(|s| &mut s.channels.sms_auth_token, is_header_text, "text of visible ASCII characters"),
    )
    .aliases(&["SMS_AUTH_TOKEN"])
    .secret(),
    key!(
        "sms_from",
        "Number or name that text messages come from.",
        optional_text(|s| &mut s.channels.sms_from, |text| {
                !text.trim().is_empty() && text.len() <= 32 && !text.contains(char::is_control)
            }, "a number such as +15550001111, or a name"),
    )
    .aliases(&["SMS_FROM_NUMBER"]),
    key!(
        "vapid_private_key",
        "Key that web pushes are signed with.",
        optional_text(|s| &mut s.channels.vapid_private_key, is_key_of_32_bytes, "a P-256 private key, 32 bytes in base64url"),
    )
    .aliases(&["PUSH_VAPID_PRIVATE_KEY"])
    .secret(),
    key!(
        "vapid_contact",
        "Where push services can reach the operator.",
        optional_text(|s| &mut s.channels.vapid_contact, |text| text.starts_with("mailto:") || text.starts_with("https://"), "mailto:… or https://…"),
    ),
    key!(
        "push_hosts",
        "Push services that browsers may name, by comma: these hosts and their subdomains.",
        text(|s| &mut s.channels.push_hosts, are_hosts, "host names in lower case, by comma"),
    ),
];

fn is_header_text(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_key_of_32_bytes(text: &str) -> bool {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD
        .decode(text.trim_end_matches('='))
        .is_ok_and(|bytes| bytes.len() == 32)
}

fn are_hosts(text: &str) -> bool {
    text.split(',').map(str::trim).all(|host| {
        !host.is_empty()
            && host.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-')
            })
    })
}
