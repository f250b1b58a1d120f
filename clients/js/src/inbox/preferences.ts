import type { NotificationConfig, PreferenceChanges, Preferences } from "../notifications.js";
import { make } from "./dom.js";
import type { InboxClient } from "./model.js";
import type { InboxTexts } from "./texts.js";

interface DeclaredType {
  id: string;
  label: string;
  description: string;
  default_enabled: boolean;
  channels: string[];
}

interface OwnType {
  enabled?: boolean | null;
  channels?: string[] | null;
}

/** What the user wants to be told, and how: by channel, by type, and how often by mail. */
export class InboxPreferences {
  readonly element = make("form", { part: "preferences", hidden: true });
  #client: InboxClient;
  #texts: InboxTexts;
  #saved: () => void;
  #failed: (error: unknown) => void;

  constructor(
    client: InboxClient,
    texts: InboxTexts,
    saved: () => void,
    failed: (error: unknown) => void,
  ) {
    this.#client = client;
    this.#texts = texts;
    this.#saved = saved;
    this.#failed = failed;
    this.element.addEventListener("submit", (event) => event.preventDefault());
  }

  /** Asks for what there is and what the user has said, and shows it. */
  async load(): Promise<void> {
    const { notifications } = this.#client;
    const [config, own] = await Promise.all([notifications.config(), notifications.preferences()]);
    this.#show(config, own);
  }

  #show(config: NotificationConfig, own: Preferences): void {
    const texts = this.#texts;
    const channels = config.channels.filter((one) => one.configured).map((one) => one.id);
    const byChannel = channels.map((id) =>
      this.#box(texts.channel(id), own.channels[id] ?? true, (on) => ({ channels: { [id]: on } })),
    );
    const types = (config.types as unknown as DeclaredType[]).map((type) =>
      this.#type(type, (own.types[type.id] ?? {}) as OwnType, channels),
    );
    const groups = [this.#group(texts.channels, byChannel)];
    if (types.length > 0) groups.push(this.#group(texts.types, types));
    if (channels.includes("email")) {
      groups.push(this.#group(texts.digest, [this.#digest(config.digests, own.digest)]));
    }
    this.element.replaceChildren(...groups);
  }

  #type(type: DeclaredType, own: OwnType, configured: string[]): HTMLElement {
    const chosen = new Set(own.channels ?? type.channels);
    const change = (fields: OwnType): PreferenceChanges => ({ types: { [type.id]: fields } });
    const on = own.enabled ?? type.default_enabled;
    const boxes = configured.map((id) =>
      this.#box(
        this.#texts.channel(id),
        chosen.has(id),
        (on) => {
          if (on) chosen.add(id);
          else chosen.delete(id);
          return change({ channels: [...chosen] });
        },
        `${type.label}: ${this.#texts.channel(id)}`,
      ),
    );
    const about = type.description === "" ? [] : [make("div", { text: type.description })];
    const enabled = this.#box(type.label, on, (on) => change({ enabled: on }));
    return make("div", { part: "type" }, [enabled, ...about, make("div", {}, boxes)]);
  }

  #group(title: string, children: HTMLElement[]): HTMLElement {
    return make("fieldset", {}, [make("legend", { text: title }), ...children]);
  }

  #box(
    text: string,
    checked: boolean,
    changes: (on: boolean) => PreferenceChanges,
    label?: string,
  ): HTMLElement {
    const box = make("input", { type: "checkbox", ...(label === undefined ? {} : { label }) });
    box.checked = checked;
    box.addEventListener("change", () => this.#save(changes(box.checked)));
    return make("label", {}, [box, document.createTextNode(` ${text}`)]);
  }

  #digest(digests: string[], own: string): HTMLElement {
    const select = make("select", { label: this.#texts.digest });
    for (const id of digests) {
      const option = make("option", { text: this.#texts.digestName(id) });
      option.value = id;
      select.append(option);
    }
    select.value = own;
    select.addEventListener("change", () => this.#save({ digest: select.value }));
    return select;
  }

  /** Only what was changed: what is changed elsewhere at the same time stays. */
  #save(changes: PreferenceChanges): void {
    this.#client.notifications.preferences(changes).then(this.#saved, (error: unknown) => {
      this.#failed(error);
      // What is shown is what is so.
      this.load().catch(this.#failed);
    });
  }
}
