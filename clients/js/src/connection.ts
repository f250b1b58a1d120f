import { Backoff } from "./backoff.js";
import { expiryOf, renewIn, type TokenSource } from "./token.js";
import type {
  CloseReason,
  ConnectionState,
  Message,
  Position,
  WebSocketConstructor,
  WebSocketLike,
} from "./types.js";

const OPEN = 1;
/** The user may not have this connection; trying again changes nothing. */
const FORBIDDEN = 4403;
/** The token was not accepted or has expired. */
const UNAUTHORIZED = 4401;
const GONE_SILENT = 4000;
const NO_TOKEN = 4001;
/** Browsers do not say that a handshake was refused. Every so many failures a new token is tried. */
const REFRESH_AFTER_FAILURES = 3;

export interface ConnectionOptions {
  url: string;
  tokens: TokenSource;
  WebSocket: WebSocketConstructor | undefined;
  random: () => number;
  minBackoffMs: number;
  maxBackoffMs: number;
  /** How long a connection must hold before the next break counts as a first one. */
  stableAfterMs: number;
  heartbeatMs: number;
  silenceMs: number;
  onState: (state: ConnectionState) => void;
  onClose: (reason: CloseReason) => void;
  onMessage: (message: Message) => void;
  onMissed: () => void;
}

type Timer = ReturnType<typeof setTimeout>;

/** Keeps one socket open for as long as it is wanted, and the place in the user's messages. */
export class Connection {
  #options: ConnectionOptions;
  #backoff: Backoff;
  #state: ConnectionState = "closed";
  #socket: WebSocketLike | undefined;
  #position: Position | undefined;
  /** The last connection that was acknowledged: its groups are wanted again. */
  #connectionId: string | undefined;
  /** The last token was refused: the next one must be a new one. */
  #needsNewToken = false;
  /** Attempts that ended without an acknowledgement, since the last one. */
  #failures = 0;
  /** The token of the attempt. */
  #token: string | undefined;
  /** Counts attempts, so that what belongs to an older one is recognised and dropped. */
  #attempt = 0;
  #retry: Timer | undefined;
  #renewal: Timer | undefined;
  #stable: Timer | undefined;
  #heartbeat: Timer | undefined;
  #silence: Timer | undefined;
  #online = (): void => this.#tryNow();

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#backoff = new Backoff(options.minBackoffMs, options.maxBackoffMs, options.random);
  }

  get state(): ConnectionState {
    return this.#state;
  }

  get position(): Position | undefined {
    return this.#position && { ...this.#position };
  }

  open(): void {
    if (!this.#options.WebSocket) {
      throw new Error("there is no WebSocket here; pass one as the option `WebSocket`");
    }
    if (this.#state !== "closed") return;
    this.#setState("connecting");
    globalThis.addEventListener?.("online", this.#online);
    void this.#connect();
  }

  close(): void {
    if (this.#state === "closed") return;
    const socket = this.#socket;
    this.#end({ code: 1000, reason: "", willReconnect: false });
    socket?.close(1000);
  }

  /** Whether it could be sent: only an open connection takes messages. */
  send(message: Message): boolean {
    const socket = this.#socket;
    if (this.#state !== "open" || socket?.readyState !== OPEN) return false;
    socket.send(JSON.stringify(message));
    return true;
  }

  async #connect(): Promise<void> {
    const { WebSocket } = this.#options;
    if (!WebSocket) return;
    const attempt = ++this.#attempt;
    const isCurrent = (): boolean => attempt === this.#attempt;
    let token: string;
    try {
      token = await this.#options.tokens.get(this.#needsNewToken);
    } catch (error) {
      if (isCurrent()) this.#broken(NO_TOKEN, `no token: ${String(error)}`);
      return;
    }
    if (!isCurrent()) return;
    this.#token = token;
    let socket: WebSocketLike;
    try {
      socket = new WebSocket(this.#address(), ["bearer", token]);
    } catch (error) {
      this.#broken(NO_TOKEN, String(error));
      return;
    }
    this.#socket = socket;
    socket.onmessage = (event: { data: unknown }) => {
      if (isCurrent() && typeof event.data === "string") this.#received(event.data, token);
    };
    socket.onclose = (event: { code: number; reason: string }) => {
      if (isCurrent()) this.#broken(event.code, event.reason);
    };
    // A close always follows, and says as much as the error does.
    socket.onerror = () => {};
    // Until the acknowledgement, silence means that nobody is there.
    this.#expectSign();
  }

  #address(): string {
    const position = this.#position;
    const since = position ? `&since=${position.epoch}:${position.offset}` : "";
    const id = position && this.#connectionId;
    const instead = id === undefined ? "" : `&connection=${encodeURIComponent(id)}`;
    return `${this.#options.url}?recover=true${since}${instead}`;
  }

  #received(data: string, token: string): void {
    this.#heard();
    let message: Message;
    try {
      message = JSON.parse(data);
    } catch {
      return;
    }
    if (message.type === "connection_ack") this.#acknowledged(message, token);
    else if (message.type !== "pong" && this.#isNew(message)) this.#options.onMessage(message);
  }

  #acknowledged(ack: Message, token: string): void {
    const { epoch, offset } = ack as unknown as Position;
    this.#position = { epoch, offset };
    const id = ack["connection_id"];
    this.#connectionId = typeof id === "string" ? id : undefined;
    this.#needsNewToken = false;
    this.#failures = 0;
    this.#stable = setTimeout(() => this.#backoff.reset(), this.#options.stableAfterMs);
    this.#renewLater(token, false);
    this.#setState("open");
    if (ack["recovered"] === false) this.#options.onMissed();
  }

  /** Moves the position on; `false` for a message that has been seen. */
  #isNew(message: Message): boolean {
    const { _epoch: epoch, _offset: offset } = message;
    delete message["_epoch"];
    delete message["_offset"];
    const position = this.#position;
    if (typeof offset !== "number" || !position || epoch !== position.epoch) return true;
    if (offset <= position.offset) return false;
    position.offset = offset;
    return true;
  }

  #renewLater(token: string, justMade: boolean): void {
    clearTimeout(this.#renewal);
    const wait = renewIn(token, Date.now(), justMade);
    if (wait === undefined) return;
    const attempt = this.#attempt;
    this.#renewal = setTimeout(async () => {
      try {
        const newer = await this.#options.tokens.get(true);
        if (attempt !== this.#attempt) return;
        this.#token = newer;
        this.send({ type: "auth", token: newer });
        // A source that gives the same token again is not asked in a loop.
        if (newer !== token) this.#renewLater(newer, true);
      } catch {
        // The connection lives on until the token ends, and then asks again.
      }
    }, wait);
  }

  /** Something came: the gateway is there. */
  #heard(): void {
    clearTimeout(this.#silence);
    clearTimeout(this.#heartbeat);
    this.#heartbeat = setTimeout(() => {
      this.send({ type: "ping" });
      this.#expectSign();
    }, this.#options.heartbeatMs);
  }

  #expectSign(): void {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => {
      const socket = this.#socket;
      this.#broken(GONE_SILENT, "the gateway has gone silent");
      socket?.close(GONE_SILENT);
    }, this.#options.silenceMs);
  }

  #broken(code: number, reason: string): void {
    const willReconnect = code !== FORBIDDEN;
    if (!willReconnect) {
      this.#end({ code, reason, willReconnect });
      return;
    }
    if (this.#state !== "open") this.#failures += 1;
    const expiry = this.#token === undefined ? undefined : expiryOf(this.#token);
    this.#needsNewToken ||=
      code === UNAUTHORIZED ||
      (expiry !== undefined && expiry <= Date.now()) ||
      (this.#failures > 0 && this.#failures % REFRESH_AFTER_FAILURES === 0);
    this.#forget();
    this.#setState("connecting");
    this.#retry = setTimeout(() => this.#tryNow(), this.#backoff.next());
    this.#options.onClose({ code, reason, willReconnect });
  }

  #tryNow(): void {
    if (this.#state !== "connecting" || this.#retry === undefined) return;
    clearTimeout(this.#retry);
    this.#retry = undefined;
    void this.#connect();
  }

  #end(reason: CloseReason): void {
    this.#forget();
    globalThis.removeEventListener?.("online", this.#online);
    this.#setState("closed");
    this.#options.onClose(reason);
  }

  #forget(): void {
    this.#attempt += 1;
    this.#socket = undefined;
    for (const timer of [
      this.#retry,
      this.#renewal,
      this.#stable,
      this.#heartbeat,
      this.#silence,
    ]) {
      clearTimeout(timer);
    }
    this.#retry = undefined;
  }

  #setState(state: ConnectionState): void {
    if (state === this.#state) return;
    this.#state = state;
    this.#options.onState(state);
  }
}
