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
}

export interface ListOptions {
  unreadOnly?: boolean;
  /** At most this many; 20 where not given. */
  limit?: number;
  offset?: number;
}

export type Preferences = JsonObject;

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
    const suffix = query.size > 0 ? `?${query}` : "";
    return this.http.send({ method: "GET", path: BASE + suffix });
  }

  /** How many there are, as the gateway counts them. */
  count(): Promise<JsonObject> {
    return this.http.send({ method: "GET", path: `${BASE}/count` });
  }

  markRead(id: string): Promise<JsonObject> {
    return this.http.send({ method: "POST", path: `${pathOf(id)}/read` });
  }

  markUnread(id: string): Promise<JsonObject> {
    return this.http.send({ method: "POST", path: `${pathOf(id)}/unread` });
  }

  markAllRead(): Promise<JsonObject> {
    return this.http.send({ method: "POST", path: `${BASE}/read-all` });
  }

  delete(id: string): Promise<JsonObject> {
    return this.http.send({ method: "DELETE", path: pathOf(id) });
  }

  /** The user's preferences; with an argument they are changed first. */
  preferences(changes?: Preferences): Promise<Preferences> {
    const path = `${BASE}/preferences`;
    return changes === undefined
      ? this.http.send({ method: "GET", path })
      : this.http.send({ method: "PUT", path, body: changes });
  }
}

function pathOf(id: string): string {
  return `${BASE}/${encodeURIComponent(id)}`;
}
