import type { MozaiksClient } from "../client.js";
import type { Notification, NotificationList } from "../notifications.js";

/** What a client offers that the inbox uses. */
export type InboxClient = Pick<
  MozaiksClient,
  "notifications" | "on" | "onState" | "onMissed" | "connect" | "state"
>;

/** How many are loaded at a time. */
const PAGE = 20;
/** How many are kept; older ones are loaded again where somebody asks for them. */
const MOST = 500;

/** The newest notifications of a user and how many are unread. Knows no page. */
export class InboxModel {
  notifications: Notification[] = [];
  unread = 0;
  /** Where older ones start; `null` where there are none. */
  next: string | null = null;
  loaded = false;

  #client: InboxClient;
  #changed: () => void;
  #arrived: (notification: Notification) => void;
  /** Came while a page was under way, which may not know them. */
  #meanwhile: Notification[] | undefined;
  #loads = 0;
  #endings: (() => void)[];

  constructor(
    client: InboxClient,
    changed: () => void,
    arrived: (notification: Notification) => void,
    failed: (error: unknown) => void,
  ) {
    this.#client = client;
    this.#changed = changed;
    this.#arrived = arrived;
    const reload = (): void => void this.load().catch(failed);
    this.#endings = [
      client.on("notification", (message) => this.#receive(message["data"])),
      client.onMissed(reload),
      // What came between the first page and the first connection is in neither.
      client.onState((state) => state === "open" && reload()),
    ];
    reload();
    if (client.state === "closed") client.connect();
  }

  /** Hears nothing more. */
  end(): void {
    for (const end of this.#endings) end();
    this.#endings = [];
    this.#loads += 1;
  }

  /** The newest page, in place of all that is there. */
  async load(): Promise<void> {
    const mine = ++this.#loads;
    const late: Notification[] = [];
    this.#meanwhile = late;
    let page: NotificationList;
    try {
      page = await this.#client.notifications.list({ limit: PAGE });
    } finally {
      if (mine === this.#loads) this.#meanwhile = undefined;
    }
    if (mine !== this.#loads) return;
    this.notifications = page.notifications;
    this.unread = page.unread_count;
    this.next = page.next_cursor;
    this.loaded = true;
    for (const one of late) this.#add(one);
    this.#changed();
  }

  async loadOlder(): Promise<void> {
    if (this.next === null) return;
    const mine = this.#loads;
    const page = await this.#client.notifications.list({ limit: PAGE, cursor: this.next });
    if (mine !== this.#loads) return;
    const known = new Set(this.notifications.map((one) => one.id));
    this.notifications.push(...page.notifications.filter((one) => !known.has(one.id)));
    this.next = page.next_cursor;
    this.#changed();
  }

  async mark(id: string, read: boolean): Promise<void> {
    const { notifications } = this.#client;
    await (read ? notifications.markRead(id) : notifications.markUnread(id));
    const one = this.notifications.find((each) => each.id === id);
    if (one && one.read !== read) {
      one.read = read;
      this.#count(read ? -1 : 1);
    }
    this.#changed();
  }

  async markAll(): Promise<void> {
    await this.#client.notifications.markAllRead();
    for (const one of this.notifications) one.read = true;
    this.unread = 0;
    this.#changed();
  }

  async delete(id: string): Promise<void> {
    await this.#client.notifications.delete(id);
    const at = this.notifications.findIndex((each) => each.id === id);
    const [gone] = at < 0 ? [] : this.notifications.splice(at, 1);
    if (gone && !gone.read) this.#count(-1);
    this.#changed();
  }

  #receive(data: unknown): void {
    const one = data as Partial<Notification> | null | undefined;
    if (typeof one?.id !== "string" || typeof one.title !== "string") return;
    const notification = one as Notification;
    this.#meanwhile?.push(notification);
    if (!this.#add(notification)) return;
    this.#changed();
    this.#arrived(notification);
  }

  /** Puts one on top; `false` where it is there. */
  #add(one: Notification): boolean {
    if (this.notifications.some((each) => each.id === one.id)) return false;
    this.notifications.unshift({ ...one });
    this.notifications.length = Math.min(this.notifications.length, MOST);
    if (!one.read) this.#count(1);
    return true;
  }

  #count(by: number): void {
    this.unread = Math.max(0, this.unread + by);
  }
}
