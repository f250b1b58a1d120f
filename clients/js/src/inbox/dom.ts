/** Small help with elements. Text is text: nothing here reads markup. */

export interface About {
  part?: string;
  text?: string;
  type?: string;
  label?: string;
  role?: string;
  hidden?: boolean;
}

export function make<K extends keyof HTMLElementTagNameMap>(
  name: K,
  about: About = {},
  children: Node[] = [],
): HTMLElementTagNameMap[K] {
  const element = document.createElement(name);
  if (about.part !== undefined) element.setAttribute("part", about.part);
  if (about.type !== undefined) element.setAttribute("type", about.type);
  if (about.role !== undefined) element.setAttribute("role", about.role);
  if (about.label !== undefined) element.setAttribute("aria-label", about.label);
  if (about.text !== undefined) element.textContent = about.text;
  element.hidden = about.hidden ?? false;
  element.append(...children);
  return element;
}

export function button(part: string, text: string, press: () => void): HTMLButtonElement {
  const element = make("button", { part, type: "button", text });
  element.addEventListener("click", press);
  return element;
}

/** Sets a text only where it is another, so that nothing is read aloud twice. */
export function say(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

export function bellImage(): SVGElement {
  const namespace = "http://www.w3.org/2000/svg";
  const image = document.createElementNS(namespace, "svg");
  image.setAttribute("viewBox", "0 0 24 24");
  image.setAttribute("fill", "currentColor");
  image.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(namespace, "path");
  path.setAttribute("d", "M12 2a6 6 0 0 0-6 6v5l-2 3v1h16v-1l-2-3V8a6 6 0 0 0-6-6zM9 19a3 3 0 0 0 6 0z");
  image.append(path);
  return image;
}
