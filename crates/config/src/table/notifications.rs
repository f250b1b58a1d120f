//! The rows of notifications and their channels.

use super::{KIB, MIB, ms, secs};
use crate::{
    keys::{Field, Key, key},
    value,
};

pub(super) const NOTIFICATIONS: &[Key] = &[
    key(
        "notifications_keep",
        "MOZAIKS_NOTIFICATIONS_KEEP",
        "notifications-keep",
        "Notifications kept for a user; older ones go.",
        Field::Count {
            at: |s| &mut s.config.notifications.keep_per_user,
            min: 1,
            max: 100_000,
        },
    ),
    key(
        "notifications_dedup_seconds",
        "MOZAIKS_NOTIFICATIONS_DEDUP_SECONDS",
        "notifications-dedup-seconds",
        "How long a `dedup_key` in the metadata counts.",
        Field::Seconds {
            at: |s| &mut s.config.notifications.dedup_window,
            min: ms(10),
            max: secs(30 * 86_400),
        },
    ),
    key(
        "notifications_max_bytes",
        "MOZAIKS_NOTIFICATIONS_MAX_BYTES",
        "notifications-max-bytes",
        "Size of a notification's title, message and metadata together.",
        Field::Bytes {
            at: |s| &mut s.config.notifications.max_bytes,
            min: KIB,
            max: MIB,
        },
    ),
    key(
        "notifications_max_bulk",
        "MOZAIKS_NOTIFICATIONS_MAX_BULK",
        "notifications-max-bulk",
        "Users of one bulk call.",
        Field::Count {
            at: |s| &mut s.config.notifications.max_bulk,
            min: 1,
            max: 100_000,
        },
    ),
    key(
        "notifications_config",
        "MOZAIKS_NOTIFICATIONS_CONFIG",
        "notifications-config",
        "File with types of notifications beside those of plugins; without it `notifications_config.json` beside the plugins directory or in the working directory, where there is one.",
        Field::OptionalPath(|s| &mut s.config.notifications.types_file),
    ),
    key(
        "notification_templates",
        "MOZAIKS_NOTIFICATION_TEMPLATES",
        "notification-templates",
        "File with templates; without it `notification_templates.json`, looked for in the same places.",
        Field::OptionalPath(|s| &mut s.config.notifications.templates_file),
    ),
    key(
        "delivery_attempts",
        "MOZAIKS_DELIVERY_ATTEMPTS",
        "delivery-attempts",
        "Attempts of one delivery by mail, text message or web push before it is a dead letter.",
        Field::Count {
            at: |s| &mut s.config.notifications.delivery_attempts,
            min: 1,
            max: 100,
        },
    ),
    key(
        "delivery_retry_seconds",
        "MOZAIKS_DELIVERY_RETRY_SECONDS",
        "delivery-retry-seconds",
        "Wait before the second attempt; doubles with each further one, up to an hour.",
        Field::Seconds {
            at: |s| &mut s.config.notifications.delivery_retry,
            min: ms(10),
            max: secs(3600),
        },
    ),
    key(
        "delivery_timeout_seconds",
        "MOZAIKS_DELIVERY_TIMEOUT_SECONDS",
        "delivery-timeout-seconds",
        "Time for one attempt.",
        Field::Seconds {
            at: |s| &mut s.config.notifications.channels.send_timeout,
            min: ms(100),
            max: secs(600),
        },
    ),
    key(
        "delivery_concurrency",
        "MOZAIKS_DELIVERY_CONCURRENCY",
        "delivery-concurrency",
        "Deliveries of one channel under way at a time.",
        Field::Count {
            at: |s| &mut s.config.notifications.delivery_concurrency,
            min: 1,
            max: 256,
        },
    ),
    key(
        "job_lease_seconds",
        "MOZAIKS_JOB_LEASE_SECONDS",
        "job-lease-seconds",
        "How long a claimed job is left to its worker; longer than `delivery_timeout_seconds`.",
        Field::Seconds {
            at: |s| &mut s.config.notifications.job_lease,
            min: ms(200),
            max: secs(3600),
        },
    ),
    key(
        "job_poll_seconds",
        "MOZAIKS_JOB_POLL_SECONDS",
        "job-poll-seconds",
        "How often workers look for jobs that nobody told them of.",
        Field::Seconds {
            at: |s| &mut s.config.notifications.job_poll,
            min: ms(10),
            max: secs(60),
        },
    ),
    key(
        "broadcast_batch",
        "MOZAIKS_BROADCAST_BATCH",
        "broadcast-batch",
        "Users of a broadcast between two saves of its progress.",
        Field::Count {
            at: |s| &mut s.config.notifications.broadcast_batch,
            min: 1,
            max: 10_000,
        },
    ),
    key(
        "digest_hour",
        "MOZAIKS_DIGEST_HOUR",
        "digest-hour",
        "Hour of the day (UTC) at which digests go out.",
        Field::Count {
            at: |s| &mut s.config.notifications.digest_hour,
            min: 0,
            max: 23,
        },
    ),
    key(
        "smtp_url",
        "MOZAIKS_SMTP_URL",
        "smtp-url",
        "Mail server for notifications by mail.",
        Field::OptionalText {
            at: |s| &mut s.channels.smtp_url,
            allowed: "smtps://user:password@host:port, or smtp://host:port with ?tls=required or ?tls=opportunistic",
            check: |text| text.starts_with("smtp://") || text.starts_with("smtps://"),
        },
    )
    .uri(),
    key(
        "email_from",
        "MOZAIKS_EMAIL_FROM",
        "email-from",
        "Sender of mail.",
        Field::OptionalText {
            at: |s| &mut s.channels.email_from,
            allowed: "a mail address, such as Notes <notes@example.com>",
            check: |text| {
                !text.contains(char::is_control) && text.parse::<lettre::message::Mailbox>().is_ok()
            },
        },
    ),
    key(
        "email_http_url",
        "MOZAIKS_EMAIL_HTTP_URL",
        "email-http-url",
        "Service that mail is posted to as JSON, in place of a mail server.",
        Field::OptionalText {
            at: |s| &mut s.channels.email_http_url,
            allowed: "a URL with https, or http to the loopback",
            check: value::is_safe_url,
        },
    )
    .uri(),
    key(
        "email_http_token",
        "MOZAIKS_EMAIL_HTTP_TOKEN",
        "email-http-token",
        "Bearer token for it.",
        Field::OptionalText {
            at: |s| &mut s.channels.email_http_token,
            allowed: "text of visible ASCII characters",
            check: is_header_text,
        },
    )
    .secret(),
    key(
        "sms_url",
        "MOZAIKS_SMS_URL",
        "sms-url",
        "Service of Twilio's REST shape for text messages.",
        Field::Text {
            at: |s| &mut s.channels.sms_url,
            allowed: "a URL with https, or http to the loopback",
            check: value::is_safe_url,
        },
    )
    .uri(),
    key(
        "sms_account_sid",
        "MOZAIKS_SMS_ACCOUNT_SID",
        "sms-account-sid",
        "Account with it.",
        Field::OptionalText {
            at: |s| &mut s.channels.sms_account_sid,
            allowed: "letters and digits",
            check: |text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric()),
        },
    ),
    key(
        "sms_auth_token",
        "MOZAIKS_SMS_AUTH_TOKEN",
        "sms-auth-token",
        "Secret of the account.",
        Field::OptionalText {
            at: |s| &mut s.channels.sms_auth_token,
            allowed: "text of visible ASCII characters",
            check: is_header_text,
        },
    )
    .secret(),
    key(
        "sms_from",
        "MOZAIKS_SMS_FROM",
        "sms-from",
        "Number or name that text messages come from.",
        Field::OptionalText {
            at: |s| &mut s.channels.sms_from,
            allowed: "a number such as +15550001111, or a name",
            check: |text| {
                !text.trim().is_empty() && text.len() <= 32 && !text.contains(char::is_control)
            },
        },
    ),
    key(
        "vapid_private_key",
        "MOZAIKS_VAPID_PRIVATE_KEY",
        "vapid-private-key",
        "Key that web pushes are signed with.",
        Field::OptionalText {
            at: |s| &mut s.channels.vapid_private_key,
            allowed: "a P-256 private key, 32 bytes in base64url",
            check: is_key_of_32_bytes,
        },
    )
    .secret(),
    key(
        "vapid_contact",
        "MOZAIKS_VAPID_CONTACT",
        "vapid-contact",
        "Where push services can reach the operator.",
        Field::OptionalText {
            at: |s| &mut s.channels.vapid_contact,
            allowed: "mailto:… or https://…",
            check: |text| text.starts_with("mailto:") || text.starts_with("https://"),
        },
    ),
    key(
        "push_hosts",
        "MOZAIKS_PUSH_HOSTS",
        "push-hosts",
        "Push services that browsers may name, by comma: these hosts and their subdomains.",
        Field::Text {
            at: |s| &mut s.channels.push_hosts,
            allowed: "host names in lower case, by comma",
            check: are_hosts,
        },
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
