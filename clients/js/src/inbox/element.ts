import type { Notification } from "../notifications.js";
import { bellImage, button, make, say } from "./dom.js";
import { InboxList } from "./list.js";
import { InboxModel, type InboxClient } from "./model.js";
import { InboxPreferences } from "./preferences.js";
import { inboxSheet } from "./style.js";
import { ENGLISH, type InboxTexts } from "./texts.js";

// Where pages are rendered on a server there are no elements; importing this must not fail there.
const Base = (globalThis as { HTMLElement?: typeof HTMLElement }).HTMLElement ?? (class {} as never);

/**
 * `<mozaiks-inbox>`: a bell with a count, and behind it the user's notifications and preferences.
 * Give it a client: `inbox.client = new MozaiksClient(…)`.
 *
 * Fires `mozaiks-notification-open` (the notification is `event.detail`) where one is chosen, and
 * `mozaiks-unread` (`event.detail.count`) where the count changes.
 */
export class MozaiksInbox extends Base {
  #client: InboxClient | undefined;
  #texts: InboxTexts = ENGLISH;
  #model: InboxModel | undefined;
  #view: View | undefined;
  #count: number | undefined;
  #outside = (event: Event): void => {
    if (!event.composedPath().includes(this)) this.close();
  };

  /** Whose notifications are shown. The client stays the page's: the inbox never closes it. */
  get client(): InboxClient | undefined {
    return this.#client;
  }

  set client(client: InboxClient | undefined) {
    if (client === this.#client) return;
    this.#client = client;
    this.#begin();
  }

  /** What it says; what is not given is English. */
  get texts(): InboxTexts {
    return this.#texts;
  }

  set texts(texts: Partial<InboxTexts>) {
    this.#texts = { ...ENGLISH, ...texts };
    this.#begin();
  }

  /** How many are unread. */
  get unread(): number {
    return this.#model?.unread ?? 0;
  }

  get isOpen(): boolean {
    return this.#view ? !this.#view.panel.hidden : false;
  }

  connectedCallback(): void {
    // A page may have set it before the element was defined.
    for (const name of ["texts", "client"] as const) {
      if (Object.prototype.hasOwnProperty.call(this, name)) {
        const value = this[name];
        delete (this as Partial<Record<typeof name, unknown>>)[name];
        Object.assign(this, { [name]: value });
      }
    }
    this.#begin();
  }

  disconnectedCallback(): void {
    this.close();
    this.#end();
  }

  /** Shows the panel and puts the focus into it. */
  open(): void {
    const view = this.#view;
    if (!view || this.isOpen) return;
    // Towards the side with more room, so that it stays on the screen wherever the bell is.
    const { left, right } = this.getBoundingClientRect();
    const isLeft = left + right < document.documentElement.clientWidth;
    view.panel.dataset["side"] = isLeft ? "left" : "right";
    view.panel.hidden = false;
    view.bell.setAttribute("aria-expanded", "true");
    view.panel.focus();
    document.addEventListener("pointerdown", this.#outside);
    this.#attempt(this.#model?.load());
  }

  /** Hides it; the focus goes back to the bell where it was inside. */
  close(): void {
    const view = this.#view;
    document.removeEventListener("pointerdown", this.#outside);
    if (!view || view.panel.hidden) return;
    const inside = view.panel.contains(this.shadowRoot?.activeElement ?? null);
    view.panel.hidden = true;
    view.bell.setAttribute("aria-expanded", "false");
    if (inside) view.bell.focus();
  }

  #begin(): void {
    this.#end();
    if (!this.isConnected) return;
    const root = this.shadowRoot ?? this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [inboxSheet()];
    const client = this.#client;
    const language = this.closest("[lang]")?.getAttribute("lang") || undefined;
    const list = new InboxList(
      this.#texts,
      {
        open: (one) => this.#choose(one),
        mark: (id, read) => this.#attempt(this.#model?.mark(id, read)),
        delete: (id) => this.#attempt(this.#model?.delete(id)),
      },
      language,
    );
    const preferences =
      client &&
      new InboxPreferences(
        client,
        this.#texts,
        () => this.#view && say(this.#view.status, this.#texts.saved),
        (error) => this.#tell(error),
      );
    const view = makeView(this.#texts, list, preferences, {
      toggle: () => (this.isOpen ? this.close() : this.open()),
      close: () => this.close(),
      markAll: () => this.#attempt(this.#model?.markAll()),
      older: () => this.#attempt(this.#model?.loadOlder()),
      settings: (shown) => shown && this.#attempt(preferences?.load()),
    });
    this.#view = view;
    root.replaceChildren(view.bell, view.panel, view.status);
    if (client) {
      this.#model = new InboxModel(
        client,
        () => this.#show(),
        (one) => say(view.status, this.#texts.arrived(one.title)),
        (error) => this.#tell(error),
      );
    }
    this.#show();
  }

  #end(): void {
    this.#model?.end();
    this.#model = undefined;
  }

  #show(): void {
    const view = this.#view;
    if (!view) return;
    const { notifications = [], next = null, loaded = false } = this.#model ?? {};
    const unread = this.unread;
    view.list.show(notifications);
    view.bell.setAttribute("aria-label", this.#texts.bell(unread));
    view.badge.hidden = unread === 0;
    say(view.badge, this.#texts.badge(unread));
    view.all.disabled = unread === 0;
    view.older.hidden = next === null;
    view.empty.hidden = !loaded || notifications.length > 0;
    view.problem.hidden = true;
    if (unread !== this.#count) {
      this.#count = unread;
      this.#fire("mozaiks-unread", { count: unread });
    }
  }

  #choose(one: Notification): void {
    if (!one.read) this.#attempt(this.#model?.mark(one.id, true));
    this.#fire("mozaiks-notification-open", one);
  }

  #fire(name: string, detail: unknown): void {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
  }

  #attempt(work: Promise<void> | undefined): void {
    work?.catch((error: unknown) => this.#tell(error));
  }

  #tell(error: unknown): void {
    if (!this.#view) return;
    const reason = error instanceof Error ? error.message : String(error);
    say(this.#view.problem, this.#texts.failed(reason));
    this.#view.problem.hidden = false;
  }
}

interface View {
  bell: HTMLButtonElement;
  badge: HTMLElement;
  panel: HTMLElement;
  all: HTMLButtonElement;
  older: HTMLButtonElement;
  empty: HTMLElement;
  problem: HTMLElement;
  status: HTMLElement;
  list: InboxList;
}

interface ViewActions {
  toggle: () => void;
  close: () => void;
  markAll: () => void;
  older: () => void;
  settings: (shown: boolean) => void;
}

function makeView(
  texts: InboxTexts,
  list: InboxList,
  preferences: InboxPreferences | undefined,
  actions: ViewActions,
): View {
  const badge = make("span", { part: "badge", hidden: true });
  badge.setAttribute("aria-hidden", "true");
  const bell = button("bell", "", actions.toggle);
  bell.append(bellImage(), badge);
  bell.setAttribute("aria-haspopup", "dialog");
  bell.setAttribute("aria-expanded", "false");
  bell.setAttribute("aria-controls", "panel");

  const all = button("action mark-all", texts.markAllRead, actions.markAll);
  const older = button("action older", texts.older, actions.older);
  const empty = make("p", { part: "empty", text: texts.empty, hidden: true });
  const problem = make("p", { part: "problem", role: "alert", hidden: true });
  const body = make("div", {}, [list.element, empty, older]);
  const settings = button("action settings", texts.settings, () => {
    if (!preferences) return;
    const shown = preferences.element.hidden;
    preferences.element.hidden = !shown;
    body.hidden = shown;
    settings.setAttribute("aria-pressed", String(shown));
    actions.settings(shown);
  });
  settings.setAttribute("aria-pressed", "false");
  const header = make("div", { part: "header" }, [
    make("h2", { part: "heading", text: texts.heading }),
    all,
    settings,
    button("action close", texts.close, actions.close),
  ]);
  const children = [header, problem, body, ...(preferences ? [preferences.element] : [])];
  const panel = make(
    "div",
    { part: "panel", role: "dialog", label: texts.heading, hidden: true },
    children,
  );
  panel.id = "panel";
  panel.tabIndex = -1;
  panel.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    actions.close();
  });
  const status = make("div", { part: "status", role: "status" });
  status.className = "aloud";
  return { bell, badge, panel, all, older, empty, problem, status, list };
}
