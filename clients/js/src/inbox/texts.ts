/** What the inbox says. Each may be replaced: `inbox.texts = { heading: "Meldungen" }`. */
export interface InboxTexts {
  heading: string;
  /** The name of the bell; with how many are unread. */
  bell: (unread: number) => string;
  /** What stands on the bell. */
  badge: (unread: number) => string;
  unread: string;
  empty: string;
  markRead: string;
  markUnread: string;
  markAllRead: string;
  delete: string;
  older: string;
  close: string;
  settings: string;
  channels: string;
  types: string;
  digest: string;
  /** The name of a channel, such as `in_app`. */
  channel: (id: string) => string;
  /** The name of a digest: `off`, `daily` or `weekly`. */
  digestName: (id: string) => string;
  saved: string;
  /** Said aloud when one arrives. */
  arrived: (title: string) => string;
  /** Where something failed. */
  failed: (reason: string) => string;
  /** When a notification was created. */
  time: (at: Date, language: string | undefined) => string;
}

const CHANNELS: Record<string, string> = {
  in_app: "Here",
  email: "Mail",
  sms: "Text message",
  push: "Push",
};
const DIGESTS: Record<string, string> = { off: "At once", daily: "Once a day", weekly: "Once a week" };

export const ENGLISH: InboxTexts = {
  heading: "Notifications",
  bell: (unread) => (unread === 0 ? "Notifications" : `Notifications, ${unread} unread`),
  badge: (unread) => (unread > 99 ? "99+" : String(unread)),
  unread: "Unread:",
  empty: "Nothing here.",
  markRead: "Mark as read",
  markUnread: "Mark as unread",
  markAllRead: "Mark all as read",
  delete: "Delete",
  older: "Show older ones",
  close: "Close",
  settings: "Settings",
  channels: "Tell me by",
  types: "Tell me about",
  digest: "Mail",
  channel: (id) => CHANNELS[id] ?? id,
  digestName: (id) => DIGESTS[id] ?? id,
  saved: "Saved.",
  arrived: (title) => `New: ${title}`,
  failed: (reason) => `That did not work: ${reason}`,
  time: (at, language) =>
    new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" }).format(at),
};
