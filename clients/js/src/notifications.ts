import type { Http } from "./http.js";
import type { JsonObject } from "./types.js";

/** A notification of the user. */
export interface Notification extends JsonObject {
  id: string;
  type: string;
  title: string;
  message: string;
  metadata: JsonObject | null;
  read: boolean;
  created_at: string;
}

export interface NotificationList {
  notifications: Notification[];
  count: number;
  unread_count: number;
  /** Where the next page starts; `null` at the end. */
  next_cursor: string | null;
}

export interface ListOptions {
  unreadOnly?: boolean;
  /** At most this many; 20 where not given. */
  limit?: number;
  offset?: number;
  /** `next_cursor` of the page before: stays right while new ones arrive. */
  cursor?: string;
}

export interface NotificationCount extends JsonObject {
  unread_count: number;
}

/** What a change did. */
export interface Marked extends JsonObject {
  success: boolean;
}

export interface MarkedAll extends Marked {
  /** How many were unread. */
  count: number;
}

/** What the user wants to be told, and how. */
export interface Preferences extends JsonObject {
  channels: Record<string, boolean>;
  types: JsonObject;
  digest: "off" | "daily" | "weekly";
  email: string | null;
  phone: string | null;
}

/** What to change, in the shape of `Preferences`; a type may also be turned on or off by its name. */
export type PreferenceChanges = JsonObject;

/** The types that plugins declare and the channels there are. */
export interface NotificationConfig extends JsonObject {
  types: JsonObject[];
  channels: { id: string; configured: boolean }[];
  digests: string[];
}

const BASE = "/api/notifications";

/** The user's notifications. New ones arrive as messages of the type `notification`. */
export class Notifications {
  constructor(private readonly http: Http) {}

  /** The newest first. */
  list(options: ListOptions = {}): Promise<NotificationList> {
    const query = new URLSearchParams();
    if (options.unreadOnly) query.set("unread_only", "true");
    if (options.limit !== undefined) query.set("limit", String(options.limit));
    if (options.offset !== undefined) query.set("offset", String(options.offset));
    if (options.cursor !== undefined) query.set("cursor", options.cursor);
    const suffix = query.size > 0 ? `?${query}` : "";
    return this.http.send({ method: "GET", path: BASE + suffix });
  }

  /** How many are unread. */
  count(): Promise<NotificationCount> {
    return this.http.send({ method: "GET", path: `${BASE}/count` });
  }

  markRead(id: string): Promise<Marked> {
    return this.http.send({ method: "POST", path: `${pathOf(id)}/read` });
  }

  markUnread(id: string): Promise<Marked> {
    return this.http.send({ method: "POST", path: `${pathOf(id)}/unread` });
  }

  markAllRead(): Promise<MarkedAll> {
    return this.http.send({ method: "POST", path: `${BASE}/read-all` });
  }

  delete(id: string): Promise<Marked> {
    return this.http.send({ method: "DELETE", path: pathOf(id) });
  }

  /** The user's preferences; with an argument they are changed first. */
  async preferences(changes?: PreferenceChanges): Promise<Preferences> {
    const path = `${BASE}/preferences`;
    const answer = await this.http.send<{ preferences: Preferences }>(
      changes === undefined
        ? { method: "GET", path }
        : { method: "PUT", path, body: { preferences: changes } },
    );
    return answer.preferences;
  }

  /** The types and channels that exist, for a settings page. */
  config(): Promise<NotificationConfig> {
    return this.http.send({ method: "GET", path: `${BASE}/config` });
  }
}

function pathOf(id: string): string {
  return `${BASE}/${encodeURIComponent(id)}`;
}
