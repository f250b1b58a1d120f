import { Connection } from "./connection.js";
import { MozaiksError } from "./errors.js";
import { Http } from "./http.js";
import { Notifications } from "./notifications.js";
import type { InputOf, KnownPlugin, NoPlugins, OtherPlugin, ResultOf } from "./plugins.js";
import { TokenSource } from "./token.js";
import type {
  CloseReason,
  ConnectionState,
  GroupMessage,
  JsonObject,
  Message,
  MessageHandler,
  Position,
  TokenRequest,
  WebSocketConstructor,
} from "./types.js";

export interface ClientOptions {
  /** Gives the user's JWT. With `refresh` a new one: the last was refused or is about to end. */
  getToken: (request: TokenRequest) => string | Promise<string>;
  /** The WebSocket to use; needed in Node before version 22 (`ws` will do). */
  WebSocket?: WebSocketConstructor;
  /** The `fetch` to use. */
  fetch?: typeof globalThis.fetch;
  /** Shortest and longest wait before connecting again. 500 ms and 30 s. */
  minBackoffMs?: number;
  maxBackoffMs?: number;
  /** How often the gateway is asked whether it is there, and how long it may take. 25 s and 10 s. */
  heartbeatMs?: number;
  silenceMs?: number;
  /** How long a connection must hold before the next break counts as a first one. 10 s. */
  stableAfterMs?: number;
  /** Spreads the waits; `Math.random`. */
  random?: () => number;
}

export interface ExecuteOptions {
  signal?: AbortSignal;
}

/** All messages, whatever their type. */
const ANY = "*";

/**
 * One user's way to one gateway. With the types that `mozaiks plugin types` writes,
 * `MozaiksClient<Plugins>`, the compiler checks what is sent to the plugins among them.
 */
export class MozaiksClient<P extends object = NoPlugins> {
  /** The user's notifications. */
  readonly notifications: Notifications;

  #http: Http;
  #connection: Connection;
  #handlers = new Map<string, Set<MessageHandler>>();
  #stateHandlers = new Set<(state: ConnectionState) => void>();
  #closeHandlers = new Set<(reason: CloseReason) => void>();
  #missedHandlers = new Set<() => void>();

  /**
   * @param url The gateway, such as `https://gateway.example`.
   */
  constructor(url: string, options: ClientOptions) {
    const base = new URL(url);
    const path = base.pathname.replace(/\/+$/, "");
    const tokens = new TokenSource(options.getToken);
    const WebSocketToUse =
      options.WebSocket ?? (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket;
    const fetchToUse = options.fetch ?? globalThis.fetch.bind(globalThis);
    this.#http = new Http(base.origin + path, tokens, fetchToUse);
    this.notifications = new Notifications(this.#http);
    const scheme = base.protocol === "https:" ? "wss:" : "ws:";
    this.#connection = new Connection({
      url: `${scheme}//${base.host}${path}/ws`,
      tokens,
      WebSocket: WebSocketToUse,
      random: options.random ?? Math.random,
      minBackoffMs: options.minBackoffMs ?? 500,
      maxBackoffMs: options.maxBackoffMs ?? 30_000,
      stableAfterMs: options.stableAfterMs ?? 10_000,
      heartbeatMs: options.heartbeatMs ?? 25_000,
      silenceMs: options.silenceMs ?? 10_000,
      onState: (state) => notify(this.#stateHandlers, state),
      onClose: (reason) => notify(this.#closeHandlers, reason),
      onMessage: (message) => this.#dispatch(message),
      onMissed: () => notify(this.#missedHandlers, undefined),
    });
  }

  /** `connecting`, `open` or `closed`. */
  get state(): ConnectionState {
    return this.#connection.state;
  }

  /** Where in the user's messages this client is; `undefined` before the first connection. */
  get position(): Position | undefined {
    return this.#connection.position;
  }

  /**
   * Connects, and again whenever the connection breaks, until `close()`.
   *
   * @throws {Error} Where there is no WebSocket to use.
   */
  connect(): void {
    this.#connection.open();
  }

  /** Ends the connection. `connect()` begins again where this one stopped. */
  close(): void {
    this.#connection.close();
  }

  /**
   * Calls an action of a plugin whose types are known.
   *
   * @returns What the action answers.
   * @throws {MozaiksError} Where the gateway or the plugin answered with an error.
   */
  execute<N extends KnownPlugin<P>, A extends keyof P[N]>(
    plugin: N,
    data: InputOf<P, N, A> & { action: A },
    options?: ExecuteOptions,
  ): Promise<ResultOf<P, N, A>>;
  /**
   * Calls a plugin. One whose types are known is called so with the result's type, `execute<T>(…)`.
   *
   * @returns The dict that the plugin returned.
   * @throws {MozaiksError} Where the gateway or the plugin answered with an error.
   */
  execute<T = JsonObject, N extends string = string>(
    plugin: OtherPlugin<P, N>,
    data?: JsonObject,
    options?: ExecuteOptions,
  ): Promise<T>;
  execute(plugin: string, data: object = {}, options: ExecuteOptions = {}): Promise<unknown> {
    return this.#http.send({
      method: "POST",
      path: `/api/execute/${encodeURIComponent(plugin)}`,
      body: data as JsonObject,
      signal: options.signal,
    });
  }

  /**
   * Calls `handler` with each message of a type, or with all of them for `*`.
   *
   * @returns A function that ends it.
   */
  on<T extends Message = Message>(type: string, handler: MessageHandler<T>): () => void {
    const handlers = this.#handlers.get(type) ?? new Set();
    this.#handlers.set(type, handlers);
    const added = (message: Message): void => handler(message as T);
    handlers.add(added);
    return () => {
      handlers.delete(added);
      if (handlers.size === 0 && this.#handlers.get(type) === handlers) {
        this.#handlers.delete(type);
      }
    };
  }

  /**
   * Calls `handler` with each message of a group that plugins have let this client into. What comes and
   * goes is told by messages of the type `group_presence`, where the plugin wants it so.
   *
   * @returns A function that ends it; the client stays in the group, as that is the plugin's to say.
   */
  onGroup<T extends GroupMessage = GroupMessage>(
    group: string,
    handler: MessageHandler<T>,
  ): () => void {
    return this.on<T>(ANY, (message) => {
      if (message._group === group) handler(message);
    });
  }

  /** Calls `handler` whenever the state changes. Returns a function that ends it. */
  onState(handler: (state: ConnectionState) => void): () => void {
    return add(this.#stateHandlers, handler);
  }

  /** Calls `handler` whenever a connection ends. Returns a function that ends it. */
  onClose(handler: (reason: CloseReason) => void): () => void {
    return add(this.#closeHandlers, handler);
  }

  /**
   * Calls `handler` when messages were lost: the client was away for longer than the gateway
   * remembers. What the page shows should be loaded anew. Returns a function that ends it.
   */
  onMissed(handler: () => void): () => void {
    return add(this.#missedHandlers, handler);
  }

  /**
   * Sends a message to the plugins that handle its type.
   *
   * @throws {MozaiksError} With code `NOT_CONNECTED` where there is no open connection.
   */
  send(type: string, fields: JsonObject = {}): void {
    if (!this.#connection.send({ ...fields, type })) {
      throw new MozaiksError("there is no open connection", 0, "NOT_CONNECTED");
    }
  }

  #dispatch(message: Message): void {
    for (const type of [message.type, ANY]) {
      const handlers = this.#handlers.get(type);
      if (handlers) notify(handlers, message);
    }
  }
}

function add<T>(handlers: Set<T>, handler: T): () => void {
  handlers.add(handler);
  return () => handlers.delete(handler);
}

/** One handler's exception keeps nothing from the others; it surfaces as uncaught. */
function notify<T>(handlers: Set<(value: T) => void>, value: T): void {
  for (const handler of [...handlers]) {
    try {
      handler(value);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}
