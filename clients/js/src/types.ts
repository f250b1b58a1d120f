/** A JSON object. */
export type JsonObject = { [key: string]: unknown };

/** A message from the gateway. Plugins choose what it holds beside its type. */
export interface Message extends JsonObject {
  type: string;
}

/** A message to a group. */
export interface GroupMessage extends Message {
  _group: string;
}

/** Who has come to a group and gone from it. */
export interface GroupPresence extends GroupMessage {
  type: "group_presence";
  joined: string[];
  left: string[];
  /** How many users are there now. */
  count: number;
}

/** Called with each message of a type. */
export type MessageHandler<T extends Message = Message> = (message: T) => void;

/**
 * `connecting` also stands for waiting until the next attempt. `closed` is where a client begins,
 * and where it ends: after `close()`, or when the gateway says that this user may not connect.
 */
export type ConnectionState = "connecting" | "open" | "closed";

/** Why a connection has ended. */
export interface CloseReason {
  /** The WebSocket close code; 1006 where the network broke. */
  code: number;
  reason: string;
  /** Whether the client tries again by itself. */
  willReconnect: boolean;
}

/** Where in the user's messages this client is. */
export interface Position {
  epoch: string;
  offset: number;
}

/** What `getToken` is told. */
export interface TokenRequest {
  /** The last token was not accepted or is about to expire: a cached one will not do. */
  refresh: boolean;
}

/** What is used of a WebSocket. The browser's own and that of the package `ws` both have it. */
export interface WebSocketLike {
  readonly readyState: number;
  send(data: string): void;
  close(code?: number, reason?: string): void;
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
}

export type WebSocketConstructor = new (url: string, protocols?: string[]) => WebSocketLike;
