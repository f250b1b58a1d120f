/**
 * The gateway as a page needs it: the token, calls, and live messages that outlast a broken
 * connection. Knows nothing of tasks, and nothing of what the page looks like.
 */

const TOKEN = "mozaiks.token";

/**
 * The token: from the address's fragment, which no server ever sees and which is taken out of the
 * address bar at once, else the one this tab has had before.
 */
export function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    sessionStorage.setItem(TOKEN, given);
    history.replaceState(null, "", location.pathname + location.search);
  }
  return sessionStorage.getItem(TOKEN);
}

export function keepToken(token) {
  sessionStorage.setItem(TOKEN, token);
}

export function forgetToken() {
  sessionStorage.removeItem(TOKEN);
}

/** An answer that says what went wrong. */
export class Refused extends Error {
  constructor(status, body) {
    super(body?.error ?? `the gateway answered ${status}`);
    this.status = status;
  }
}

/** Sends a request as the token's user; gives the answer's body, or throws `Refused`. */
export async function request(token, method, path, body) {
  const headers = { authorization: `Bearer ${token}` };
  if (body !== undefined) headers["content-type"] = "application/json";
  const response = await fetch(path, { method, headers, body: JSON.stringify(body) });
  const answer = await response.json().catch(() => undefined);
  if (!response.ok) throw new Refused(response.status, answer);
  return answer;
}

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;
const PING_MS = 20_000;

/**
 * The user's messages, from now on and for as long as the page is open.
 *
 * A broken connection is made again, after a wait that grows, and goes on after the last message
 * that arrived. Where that is not possible, as on the first connection, `onFresh` is called: what
 * the page shows must be loaded.
 */
export class Live {
  #token;
  #handlers;
  #socket;
  #position = "";
  #wait = FIRST_WAIT_MS;
  #retry;
  #beat;
  #heard = true;
  #ended = false;

  /**
   * @param {string} token
   * @param {{onState: (state: "connecting" | "open" | "closed", user?: string) => void,
   *   onFresh: () => void, onMessage: (message: object) => void, onRefused: () => void}} handlers
   */
  constructor(token, handlers) {
    this.#token = token;
    this.#handlers = handlers;
    addEventListener("online", () => this.#again(0));
    this.#connect();
  }

  #connect() {
    const address = new URL("/ws", location.href);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    address.searchParams.set("recover", "true");
    if (this.#position) address.searchParams.set("since", this.#position);
    const socket = new WebSocket(address, ["bearer", this.#token]);
    this.#socket = socket;
    let acknowledged = false;
    socket.onmessage = (event) => {
      if (socket !== this.#socket) return;
      this.#heard = true;
      const message = JSON.parse(event.data);
      if (message.type === "connection_ack") {
        acknowledged = true;
        this.#start(message);
      } else if (message.type !== "pong") {
        if (message._offset) this.#position = `${message._epoch}:${message._offset}`;
        this.#handlers.onMessage(message);
      }
    };
    socket.onclose = async (event) => {
      if (socket !== this.#socket) return;
      // A browser does not say why a handshake failed: whether it was the token is asked for.
      const refused =
        [4401, 4403].includes(event.code) || (!acknowledged && (await this.#isRefused()));
      if (socket !== this.#socket) return;
      if (refused) this.#end();
      else this.#again(this.#wait * (0.5 + Math.random() / 2));
    };
    this.#handlers.onState("connecting");
  }

  #start(ack) {
    this.#wait = FIRST_WAIT_MS;
    // What is replayed after a break follows, each message with a position of its own.
    this.#position = `${ack.epoch}:${ack.offset}`;
    this.#beat = setInterval(() => this.#ping(), PING_MS);
    this.#handlers.onState("open", ack.user_id);
    if (!ack.recovered) this.#handlers.onFresh();
  }

  /** A connection that has died without saying so answers no ping. */
  #ping() {
    if (!this.#heard) return this.#again(0);
    this.#heard = false;
    this.#socket.send('{"type":"ping"}');
  }

  /** Leaves the connection there is, if any, and makes another one. */
  #again(afterMs) {
    if (this.#ended) return;
    clearTimeout(this.#retry);
    clearInterval(this.#beat);
    const before = this.#socket;
    this.#socket = undefined;
    before?.close();
    this.#heard = true;
    this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT_MS);
    this.#retry = setTimeout(() => this.#connect(), afterMs);
    this.#handlers.onState("connecting");
  }

  #end() {
    this.#ended = true;
    clearInterval(this.#beat);
    this.#handlers.onState("closed");
    this.#handlers.onRefused();
  }

  async #isRefused() {
    try {
      await request(this.#token, "GET", "/api/notifications/count");
      return false;
    } catch (error) {
      return error instanceof Refused && [401, 403].includes(error.status);
    }
  }
}
