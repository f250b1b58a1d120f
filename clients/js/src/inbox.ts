/** `<mozaiks-inbox>`: importing this defines the element. */

import { MozaiksInbox } from "./inbox/element.js";

export { MozaiksInbox };
export type { InboxClient } from "./inbox/model.js";
export { ENGLISH, type InboxTexts } from "./inbox/texts.js";

declare global {
  interface HTMLElementTagNameMap {
    "mozaiks-inbox": MozaiksInbox;
  }
  interface HTMLElementEventMap {
    "mozaiks-notification-open": CustomEvent<import("./notifications.js").Notification>;
    "mozaiks-unread": CustomEvent<{ count: number }>;
  }
}

const elements = (globalThis as { customElements?: CustomElementRegistry }).customElements;
if (elements && !elements.get("mozaiks-inbox")) elements.define("mozaiks-inbox", MozaiksInbox);
