import type { Notification } from "../notifications.js";
import { button, make, say } from "./dom.js";
import type { InboxTexts } from "./texts.js";

export interface ListActions {
  open: (notification: Notification) => void;
  mark: (id: string, read: boolean) => void;
  delete: (id: string) => void;
}

interface Row {
  item: HTMLLIElement;
  update: (notification: Notification) => void;
}

/** The list: one item a notification, kept while it is there, so that the focus stays where it is. */
export class InboxList {
  readonly element = make("ul", { part: "list", role: "list" });
  #rows = new Map<string, Row>();
  #texts: InboxTexts;
  #actions: ListActions;
  #language: string | undefined;

  constructor(texts: InboxTexts, actions: ListActions, language: string | undefined) {
    this.#texts = texts;
    this.#actions = actions;
    this.#language = language;
    this.element.addEventListener("keydown", (event) => this.#move(event));
  }

  show(notifications: Notification[]): void {
    const wanted = new Set(notifications.map((one) => one.id));
    for (const [id, row] of this.#rows) {
      if (!wanted.has(id)) {
        this.#leave(row.item);
        this.#rows.delete(id);
      }
    }
    notifications.forEach((one, index) => {
      let row = this.#rows.get(one.id);
      if (!row) {
        row = this.#make(one);
        this.#rows.set(one.id, row);
      }
      const there = this.element.children[index];
      if (there !== row.item) this.element.insertBefore(row.item, there ?? null);
      row.update(one);
    });
  }

  #make(first: Notification): Row {
    let shown = first;
    const texts = this.#texts;
    const unread = make("span", { text: `${texts.unread} ` });
    unread.className = "aloud";
    const title = make("span", { part: "title" });
    const message = make("span", { part: "message" });
    const time = make("time", { part: "time" });
    const open = button("open", "", () => this.#actions.open(shown));
    open.append(unread, title, message, time);
    const toggle = button("toggle", "", () => this.#actions.mark(shown.id, !shown.read));
    const remove = button("delete", texts.delete, () => this.#actions.delete(shown.id));
    const item = make("li", {}, [open, toggle, remove]);
    item.addEventListener("keydown", (event) => {
      if (event.key === "Delete") this.#actions.delete(shown.id);
    });
    const update = (one: Notification): void => {
      shown = one;
      item.setAttribute("part", one.read ? "item" : "item unread");
      unread.hidden = one.read;
      say(title, one.title);
      say(message, one.message);
      say(toggle, one.read ? texts.markUnread : texts.markRead);
      toggle.setAttribute("aria-label", `${toggle.textContent}: ${one.title}`);
      remove.setAttribute("aria-label", `${texts.delete}: ${one.title}`);
      const at = new Date(one.created_at);
      const known = !Number.isNaN(at.getTime());
      time.dateTime = known ? at.toISOString() : "";
      say(time, known ? texts.time(at, this.#language) : "");
    };
    return { item, update };
  }

  /** Takes an item out; the focus goes to its neighbour, or to the panel. */
  #leave(item: HTMLElement): void {
    const root = this.element.getRootNode() as ShadowRoot;
    if (root.activeElement && item.contains(root.activeElement)) {
      const next = item.nextElementSibling ?? item.previousElementSibling;
      const target = next?.querySelector("button") ?? this.element.closest('[part~="panel"]');
      (target as HTMLElement | null)?.focus();
    }
    item.remove();
  }

  /** The arrow keys go from item to item, Home and End to the first and the last. */
  #move(event: KeyboardEvent): void {
    const items = Array.from(this.element.children);
    const at = items.findIndex((item) => item.contains(event.target as Node));
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
    if (to === undefined || at < 0) return;
    event.preventDefault();
    items[Math.min(Math.max(to, 0), items.length - 1)]?.querySelector("button")?.focus();
  }
}
