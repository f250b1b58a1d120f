// Makes a form of each action that /openapi.json lists, and calls it. Everything that comes from the
// document or an answer is put into the page as text.

const place = document.getElementById("actions");
const root = new URL("./", import.meta.url.replace(/docs\/actions\.js.*$/, ""));
const PREFIX = "/api/execute/";

/** An element with properties and what it holds. */
function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

const token = element("input", { type: "password", id: "token", autocomplete: "off" });

/** A token behind the address, as pages of plugins take it, goes out of sight. */
function takeToken() {
  const found = new URLSearchParams(location.hash.slice(1)).get("token");
  if (found) {
    token.value = found;
    history.replaceState(null, "", location.pathname + location.search);
  }
}

/** What a reference means; a schema that only refers to itself is anything. */
function resolved(description, schema) {
  for (let depth = 0; depth < 20 && typeof schema?.$ref === "string"; depth += 1) {
    const { $ref, ...beside } = schema;
    const name = $ref.replace("#/components/schemas/", "");
    schema = { ...(description.components.schemas[name] ?? {}), ...beside };
  }
  return schema ?? {};
}

/** The one type that a value has beside null; undefined where there are several. */
function single(description, schema, depth = 0) {
  const whole = depth > 20 ? {} : resolved(description, schema);
  const others = (whole.anyOf ?? []).filter((each) => each.type !== "null");
  if (whole.anyOf && others.length === 1) {
    const { anyOf, ...beside } = whole;
    return { ...single(description, others[0], depth + 1), ...beside, nullable: anyOf.length > 1 };
  }
  return whole.anyOf || whole.oneOf || whole.allOf ? {} : whole;
}

/** What a value may look like, as a beginning for who writes it. */
function sample(description, schema, depth = 0) {
  const whole = single(description, schema);
  if (whole.default !== undefined) return whole.default;
  if (whole.const !== undefined) return whole.const;
  if (whole.enum) return whole.enum[0];
  if (whole.type === "object" && depth < 4) {
    const names = (whole.required ?? []).filter((name) => whole.properties?.[name]);
    return Object.fromEntries(
      names.map((name) => [name, sample(description, whole.properties[name], depth + 1)]),
    );
  }
  return { array: [], object: {}, string: "", integer: 0, number: 0, boolean: false }[whole.type] ?? null;
}

/** An input for a value, and what gives its JSON: undefined where it is left out. */
function control(description, name, schema, required) {
  const whole = single(description, schema);
  const left = (text) => (required || text !== "" ? JSON.stringify(text) : undefined);
  if (Array.isArray(whole.enum)) {
    const input = element("select");
    if (!required) input.append(element("option", { value: "" }, "—"));
    whole.enum.forEach((value, at) => {
      input.append(element("option", { value: String(at) }, String(value)));
    });
    return { input, json: () => (input.value === "" ? undefined : JSON.stringify(whole.enum[Number(input.value)])) };
  }
  if (whole.type === "boolean") {
    const input = element("select");
    for (const value of required ? ["false", "true"] : ["", "false", "true"]) {
      input.append(element("option", { value }, value || "—"));
    }
    return { input, json: () => input.value || undefined };
  }
  if (whole.type === "integer" || whole.type === "number") {
    const input = element("input", { type: "text", inputMode: "decimal" });
    // As it is written: a number here holds fewer digits than one there.
    return { input, json: () => checked(input.value.trim() || (required ? "null" : undefined)) };
  }
  if (whole.type === "string" && whole.format === "date-time") {
    const input = element("input", { type: "datetime-local", step: "1" });
    const moment = () => (input.value ? new Date(input.value).toISOString() : "");
    return { input, json: () => left(moment()) };
  }
  if (whole.type === "string") {
    const type = whole.format === "date" ? "date" : "text";
    const input = element("input", { type });
    return { input, json: () => left(input.value) };
  }
  const input = element("textarea", { rows: 4, spellcheck: false });
  if (required) input.value = JSON.stringify(sample(description, schema), null, 2);
  return { input, json: () => checked(input.value.trim() || (required ? "null" : undefined)) };
}

/** JSON as it stands. */
function checked(text) {
  if (text !== undefined) JSON.parse(text);
  return text;
}

/** What the type of a value is called. */
function typeName(description, schema) {
  const whole = single(description, schema);
  const name = whole.format ?? (whole.enum ? "one of" : (whole.type ?? "JSON"));
  return whole.nullable ? `${name} or null` : String(name);
}

function form(description, plugin, action) {
  const input = resolved(description, action.input);
  const wanted = new Set(input.required ?? []);
  const fields = new Map();
  const made = element("form", { noValidate: true });
  made.dataset.action = action.name;
  for (const [name, schema] of Object.entries(input.properties ?? {})) {
    if (name === "action") continue;
    const field = control(description, name, schema, wanted.has(name));
    field.input.name = name;
    fields.set(name, field);
    const about = single(description, schema).description ?? "";
    const note = `${typeName(description, schema)}${wanted.has(name) ? "" : ", may be missing"}`;
    made.append(
      element("label", {}, name, field.input, element("small", {}, about ? `${note}: ${about}` : note)),
    );
  }
  let more;
  if (input.additionalProperties) {
    more = element("textarea", { name: "…", rows: 2, spellcheck: false });
    made.append(element("label", {}, "further names, as a JSON object", more));
  }
  const answer = element("pre", { hidden: true });
  answer.setAttribute("role", "status");
  made.append(element("button", {}, `Call ${action.name}`), answer);

  function body() {
    const parts = [`"action":${JSON.stringify(action.name)}`];
    for (const [name, field] of fields) {
      const json = named(name, field.json);
      if (json !== undefined) parts.push(`${JSON.stringify(name)}:${json}`);
    }
    if (more?.value.trim()) {
      const given = named("further names", () => JSON.parse(more.value));
      for (const [name, value] of Object.entries(given)) {
        parts.push(`${JSON.stringify(name)}:${JSON.stringify(value)}`);
      }
    }
    return `{${parts.join(",")}}`;
  }

  function show(text) {
    answer.textContent = text;
    answer.hidden = false;
  }

  made.addEventListener("submit", async (event) => {
    event.preventDefault();
    for (const { input } of fields.values()) input.removeAttribute("aria-invalid");
    let sent;
    try {
      sent = body();
    } catch (error) {
      return show(error.message);
    }
    show("…");
    try {
      const response = await fetch(new URL(`${PREFIX.slice(1)}${plugin}`, root), {
        method: "POST",
        headers: { authorization: `Bearer ${token.value.trim()}`, "content-type": "application/json" },
        body: sent,
      });
      const text = await response.text();
      show(`${response.status}\n${pretty(text)}`);
      mark(text);
    } catch (error) {
      show(String(error));
    }
  });

  /** Shows which field an error is about. */
  function mark(text) {
    let path;
    try {
      path = JSON.parse(text).details?.path;
    } catch {
      return;
    }
    const name = String(path ?? "").split("/")[1]?.replaceAll("~1", "/").replaceAll("~0", "~");
    const field = fields.get(name);
    field?.input.setAttribute("aria-invalid", "true");
    field?.input.focus();
  }
  return made;
}

function named(name, make) {
  try {
    return make();
  } catch (error) {
    throw new Error(`${name}: ${error.message}`);
  }
}

function pretty(text) {
  // Numbers of so many digits would be others.
  if (/\d{16}/.test(text)) return text;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

async function show() {
  takeToken();
  const response = await fetch(new URL("openapi.json", root));
  const description = await response.json();
  const plugins = Object.entries(description.paths).filter(([, path]) => path.post?.["x-actions"]);
  if (plugins.length === 0) return;
  place.append(element("h2", {}, "Actions of plugins"), element("label", {}, "Token", token));
  for (const [path, { post }] of plugins) {
    const plugin = path.slice(PREFIX.length);
    for (const action of post["x-actions"]) {
      const details = element("details", {}, element("summary", {}, element("code", {}, `${plugin}: ${action.name}`)));
      details.id = `${plugin}.${action.name}`;
      if (action.description) details.append(element("p", {}, action.description));
      // Made when it is opened: there may be hundreds.
      details.addEventListener("toggle", () => details.append(form(description, plugin, action)), { once: true });
      place.append(details);
    }
  }
}

await show();
