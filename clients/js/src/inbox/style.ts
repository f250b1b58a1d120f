/** The inbox's look. Pages change it by custom properties and by `::part(…)`. */
const CSS = `
:host {
  --_accent: var(--mozaiks-inbox-accent, #2457d6);
  --_background: var(--mozaiks-inbox-background, Canvas);
  --_color: var(--mozaiks-inbox-color, CanvasText);
  --_border: var(--mozaiks-inbox-border, color-mix(in srgb, currentColor 20%, transparent));
  --_radius: var(--mozaiks-inbox-radius, 8px);
  display: inline-block;
  position: relative;
  font: var(--mozaiks-inbox-font, inherit);
}
[hidden] { display: none !important; }
button, select, input { font: inherit; color: inherit; }
button { background: none; border: 0; border-radius: var(--_radius); cursor: pointer; }
button:focus-visible, select:focus-visible, input:focus-visible, [part~="panel"]:focus-visible {
  outline: 2px solid var(--_accent);
  outline-offset: 1px;
}
[part~="bell"] { position: relative; min-width: 40px; min-height: 40px; padding: 8px; }
[part~="bell"] svg { display: block; width: 24px; height: 24px; margin: auto; }
[part~="badge"] {
  position: absolute; top: 0; right: 0; min-width: 18px; padding: 0 4px; border-radius: 9px;
  background: var(--_accent); color: #fff; font-size: 12px; line-height: 18px;
}
[part~="panel"] {
  position: absolute; z-index: 1000; right: 0; width: var(--mozaiks-inbox-width, 22rem);
  max-width: 95vw; max-height: var(--mozaiks-inbox-max-height, 70vh); overflow: auto;
  box-sizing: border-box; padding: 8px; border: 1px solid var(--_border);
  border-radius: var(--_radius); background: var(--_background); color: var(--_color);
  box-shadow: 0 4px 16px rgb(0 0 0 / 20%); text-align: start;
}
[part~="panel"][data-side="left"] { right: auto; left: 0; }
[part~="header"] { display: flex; flex-wrap: wrap; align-items: center; gap: 4px; }
[part~="heading"] { flex: 1; margin: 0; font-size: 1.1em; }
[part~="action"], [part~="toggle"], [part~="delete"] { padding: 6px 8px; color: var(--_accent); }
[part~="list"] { margin: 0; padding: 0; list-style: none; }
[part~="item"] { padding: 4px 0; border-top: 1px solid var(--_border); }
[part~="open"] { display: block; width: 100%; padding: 6px; text-align: start; }
[part~="title"], [part~="message"], [part~="time"] { display: block; overflow-wrap: anywhere; }
[part~="item"][part~="unread"] [part~="title"] { font-weight: bold; }
[part~="time"], [part~="empty"] { opacity: 0.75; font-size: 0.85em; }
[part~="problem"] { margin: 4px; }
[part~="preferences"] fieldset { margin: 8px 0; border: 1px solid var(--_border); }
[part~="preferences"] label { display: inline-block; padding: 4px 8px 4px 0; }
[part~="type"] { border-top: 1px solid var(--_border); }
.aloud {
  position: absolute; width: 1px; height: 1px; margin: -1px; overflow: hidden;
  clip-path: inset(50%); white-space: nowrap;
}
`;

let sheet: CSSStyleSheet | undefined;

/** One sheet for all inboxes of a page; no `style` attribute, no `<style>`: any policy lets it be. */
export function inboxSheet(): CSSStyleSheet {
  if (!sheet) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(CSS);
  }
  return sheet;
}
