//! What earlier versions kept among the plugins' data: what their documents look like, by which they
//! are told from those of plugins with collections of the same names.

use mozaiks_store::{FieldType, Moved};

use FieldType::{
    Array, Bool, DateTime, Document, Integer, ObjectId, Text, TextOrDocument, TextOrNull,
};

const APP_USER: &[(&str, i32)] = &[("app_id", 1), ("user_id", 1)];

/// The collections.
pub const MOVED: &[Moved] = &[
    Moved {
        collection: "notifications",
        required: &[
            ("_id", ObjectId),
            ("app_id", Text),
            ("user_id", Text),
            ("type", Text),
            ("title", Text),
            ("message", Text),
            ("metadata", Document),
            ("read", Bool),
            ("created_at", DateTime),
            ("channels", Array),
            ("listed", Bool),
        ],
        optional: &[("dedup_key", Text)],
        indexes: &[
            (
                "user_time",
                &[
                    ("app_id", 1),
                    ("user_id", 1),
                    ("created_at", -1),
                    ("_id", -1),
                ],
            ),
            (
                "user_read_time",
                &[
                    ("app_id", 1),
                    ("user_id", 1),
                    ("read", 1),
                    ("created_at", -1),
                    ("_id", -1),
                ],
            ),
            (
                "user_dedup",
                &[("app_id", 1), ("user_id", 1), ("dedup_key", 1)],
            ),
            ("expiry", &[("created_at", 1)]),
        ],
    },
    Moved {
        collection: "notification_preferences",
        required: &[
            ("_id", ObjectId),
            ("app_id", Text),
            ("user_id", Text),
            ("preferences", Text),
            ("updated_at", DateTime),
            ("revision", Integer),
        ],
        optional: &[("digest_at", DateTime), ("digest_from", DateTime)],
        indexes: &[("user", APP_USER), ("digest_due", &[("digest_at", 1)])],
    },
    Moved {
        collection: "notification_jobs",
        required: &[
            ("_id", Text),
            ("queue", Text),
            ("app_id", Text),
            ("state", Text),
            ("attempts", Integer),
            ("payload", Document),
            ("created_at", DateTime),
        ],
        optional: &[
            ("run_at", DateTime),
            ("user_id", Text),
            ("notification_id", ObjectId),
            ("claim", ObjectId),
            ("ended_at", DateTime),
            ("reason", Text),
        ],
        indexes: &[
            ("due", &[("queue", 1), ("run_at", 1)]),
            ("log", &[("app_id", 1), ("created_at", -1)]),
            ("expiry", &[("ended_at", 1)]),
        ],
    },
    Moved {
        collection: "notification_broadcasts",
        required: &[
            ("_id", Text),
            ("app_id", Text),
            ("draft", Document),
            ("target", TextOrDocument),
            ("state", Text),
            ("send_at", DateTime),
            ("sent", Integer),
            ("suppressed", Integer),
            ("failed", Integer),
            ("created_by", TextOrNull),
            ("created_at", DateTime),
        ],
        optional: &[("cursor", Text), ("ended_at", DateTime)],
        indexes: &[("app_time", &[("app_id", 1), ("created_at", -1)])],
    },
    Moved {
        collection: "notification_users",
        required: &[
            ("_id", ObjectId),
            ("app_id", Text),
            ("user_id", Text),
            ("roles", Array),
            ("seen_at", DateTime),
        ],
        optional: &[("email", Text)],
        indexes: &[("user", APP_USER)],
    },
    Moved {
        collection: "push_subscriptions",
        required: &[
            ("_id", ObjectId),
            ("app_id", Text),
            ("user_id", Text),
            ("endpoint", Text),
            ("p256dh", Text),
            ("auth", Text),
            ("created_at", DateTime),
            ("updated_at", DateTime),
        ],
        optional: &[],
        indexes: &[
            ("user", APP_USER),
            ("endpoint", &[("app_id", 1), ("endpoint", 1)]),
        ],
    },
];

#[cfg(test)]
mod tests;
