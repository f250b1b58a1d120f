/**
 * The page: tasks and notifications of whoever the token names, as they are and as they change.
 * What plugins and users wrote is text and is set as text, never as HTML.
 */

import { Live, Refused, forgetToken, keepToken, request, takeToken } from "./gateway.js";

const STATES = { connecting: "Connecting…", open: "Live", closed: "Not connected" };
const MOST_NOTIFICATIONS = 50;

const at = (id) => document.getElementById(id);

let token;
const tasks = new Map();
const notifications = new Map();
let unread = 0;
/** Messages that arrive while the lists are being loaded; they count from then on. */
let waiting;

/** An element with properties and children. */
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function when(iso) {
  const date = new Date(iso);
  const today = date.toDateString() === new Date().toDateString();
  const shown = date.toLocaleString(
    [],
    today ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" },
  );
  return make("time", { dateTime: iso, textContent: shown });
}

// What the page shows.

/**
 * Makes a list's elements those of `items`. The element of what has not changed stays where it is,
 * and where the focus was it stays.
 */
function showList(list, items, makeItem) {
  const focused = document.activeElement?.closest("[data-id]");
  const before = new Map([...list.children].map((element) => [element.dataset.id, element]));
  const elements = items.map((item) => {
    const version = JSON.stringify(item);
    const known = before.get(item.id);
    if (known?.version === version) return known;
    const element = makeItem(item);
    element.dataset.id = item.id;
    element.version = version;
    return element;
  });
  const kept = new Set(elements);
  for (const element of before.values()) if (!kept.has(element)) element.remove();
  elements.forEach((element, index) => {
    const there = list.children[index];
    if (there !== element) list.insertBefore(element, there ?? null);
  });
  if (focused && before.has(focused.dataset.id) && !list.contains(document.activeElement)) {
    const again = elements.find((element) => element.dataset.id === focused.dataset.id);
    (again?.querySelector("input, button") ?? list).focus();
  }
}

function showTasks() {
  // Ids grow with time: the newest comes first, what is done comes last.
  const sorted = [...tasks.values()].sort(
    (one, other) => one.done - other.done || (one.id < other.id ? 1 : -1),
  );
  showList(at("tasks"), sorted, makeTask);
  at("open-count").textContent = sorted.filter((task) => !task.done).length;
  at("no-tasks").hidden = sorted.length > 0;
}

function makeTask(task) {
  const box = make("input", { type: "checkbox", checked: task.done });
  box.onchange = async () => {
    const changed = await act("complete", { task_id: task.id, done: box.checked });
    if (!changed) box.checked = task.done;
  };
  const remove = make("button", { className: "remove", type: "button", textContent: "×" });
  remove.ariaLabel = `Delete ${task.title}`;
  remove.onclick = () => act("delete", { task_id: task.id });
  const label = make("label", {}, box, make("span", { textContent: task.title }));
  return make("li", { className: task.done ? "done" : "" }, label, when(task.created_at), remove);
}

function showNotifications() {
  const sorted = [...notifications.values()].sort((one, other) => (one.id < other.id ? 1 : -1));
  for (const old of sorted.splice(MOST_NOTIFICATIONS)) notifications.delete(old.id);
  showList(at("notifications"), sorted, makeNotification);
  at("unread-count").textContent = unread;
  at("unread").dataset.none = unread === 0;
  at("read-all").hidden = unread === 0;
  at("no-notifications").hidden = sorted.length > 0;
  document.title = unread > 0 ? `(${unread}) Tasks` : "Tasks";
}

function makeNotification(one) {
  const text = make(
    "div",
    {},
    make("b", { textContent: one.title }),
    " ",
    when(one.created_at),
    make("p", { textContent: one.message }),
  );
  const item = make("li", { className: one.read ? "" : "unread" }, text);
  if (!one.read) {
    const button = make("button", { className: "quiet", type: "button", textContent: "Mark read" });
    button.ariaLabel = `Mark as read: ${one.title}, ${one.message}`;
    button.onclick = () => markRead(one.id);
    item.append(button);
  }
  return item;
}

function showState(state, user) {
  at("state").dataset.state = state;
  at("state").textContent = STATES[state];
  if (user) at("who").textContent = user;
}

function showProblem(error) {
  at("problem").hidden = !error;
  at("problem").textContent = error?.message ?? "";
}

// What the user does.

/** Calls the plugin. What changes is shown when the gateway says so, here as on every page. */
function act(action, fields) {
  return attempt(() => request(token, "POST", "/api/execute/tasks", { action, ...fields }));
}

async function markRead(id) {
  if (!(await attempt(() => request(token, "POST", `/api/notifications/${id}/read`)))) return;
  const one = notifications.get(id);
  if (one && !one.read) {
    notifications.set(id, { ...one, read: true });
    unread = Math.max(0, unread - 1);
  }
  showNotifications();
}

async function markAllRead() {
  if (!(await attempt(() => request(token, "POST", "/api/notifications/read-all")))) return;
  for (const [id, one] of notifications) notifications.set(id, { ...one, read: true });
  unread = 0;
  showNotifications();
}

async function attempt(doing) {
  try {
    const answer = await doing();
    showProblem();
    return answer;
  } catch (error) {
    if (error instanceof Refused && error.status === 401) signOut();
    else showProblem(error);
    return undefined;
  }
}

// What the gateway says.

/** Loads both lists; messages that arrive meanwhile are applied to what was loaded. */
async function load() {
  waiting = [];
  const loaded = await attempt(() =>
    Promise.all([
      request(token, "POST", "/api/execute/tasks", { action: "list" }),
      request(token, "GET", `/api/notifications?limit=${MOST_NOTIFICATIONS}`),
    ]),
  );
  const messages = waiting;
  waiting = undefined;
  if (loaded) {
    const [listed, told] = loaded;
    tasks.clear();
    notifications.clear();
    for (const task of listed.tasks) tasks.set(task.id, task);
    for (const one of told.notifications) notifications.set(one.id, one);
    unread = told.unread_count;
  }
  for (const message of messages) apply(message);
  showTasks();
  showNotifications();
}

function receive(message) {
  if (waiting) {
    waiting.push(message);
  } else if (apply(message)) {
    showTasks();
    showNotifications();
  }
}

/** Whether the message changes anything here. */
function apply(message) {
  if (message.type === "tasks_update") {
    if (message.action === "deleted") tasks.delete(message.task.id);
    else tasks.set(message.task.id, message.task);
    return true;
  }
  if (message.type === "notification" && !notifications.has(message.data.id)) {
    notifications.set(message.data.id, message.data);
    if (!message.data.read) unread += 1;
    return true;
  }
  return false;
}

// Signing in and out.

function start() {
  token = takeToken();
  if (!token) return signOut();
  at("main").hidden = false;
  at("sign-in").hidden = true;
  new Live(token, {
    onState: showState,
    onFresh: load,
    onMessage: receive,
    onRefused: signOut,
  });
}

function signOut() {
  forgetToken();
  at("main").hidden = true;
  at("sign-in").hidden = false;
  at("token").focus();
}

at("sign-in").onsubmit = (event) => {
  event.preventDefault();
  keepToken(at("token").value.trim());
  location.reload();
};
at("add").onsubmit = async (event) => {
  event.preventDefault();
  const title = at("title").value.trim();
  if (title && (await act("create", { title }))) at("add").reset();
};
at("read-all").onclick = markAllRead;
// The address was opened again, with another token.
addEventListener("hashchange", () => location.reload());

start();
