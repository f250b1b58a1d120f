/** Client of mozaiks-gateway for browsers and Node. */

export { MozaiksClient, type ClientOptions, type ExecuteOptions } from "./client.js";
export { MozaiksError } from "./errors.js";
export {
  Notifications,
  type ListOptions,
  type Marked,
  type MarkedAll,
  type Notification,
  type NotificationConfig,
  type NotificationCount,
  type NotificationList,
  type PreferenceChanges,
  type Preferences,
} from "./notifications.js";
export type { ActionTypes, InputOf, PluginTypes, ResultOf } from "./plugins.js";
export type {
  CloseReason,
  ConnectionState,
  GroupMessage,
  GroupPresence,
  JsonObject,
  Message,
  MessageHandler,
  Position,
  TokenRequest,
  WebSocketLike,
  WebSocketConstructor,
} from "./types.js";
