import { MozaiksError } from "./errors.js";
import type { TokenSource } from "./token.js";
import type { JsonObject } from "./types.js";

export interface HttpRequest {
  method: "GET" | "POST" | "PUT" | "DELETE";
  path: string;
  body?: JsonObject;
  signal?: AbortSignal | undefined;
}

/** Speaks HTTP to one gateway; asks for a new token once where the old one has expired. */
export class Http {
  constructor(
    private readonly base: string,
    private readonly tokens: TokenSource,
    private readonly fetch: typeof globalThis.fetch,
  ) {}

  async send<T>(request: HttpRequest): Promise<T> {
    try {
      return await this.#attempt<T>(request, false);
    } catch (error) {
      if (error instanceof MozaiksError && error.errorCode === "TOKEN_EXPIRED") {
        return this.#attempt<T>(request, true);
      }
      throw error;
    }
  }

  async #attempt<T>(request: HttpRequest, refresh: boolean): Promise<T> {
    const token = await this.tokens.get(refresh);
    const headers: Record<string, string> = { authorization: `Bearer ${token}` };
    const init: RequestInit = { method: request.method, headers };
    if (request.body !== undefined) {
      headers["content-type"] = "application/json";
      init.body = JSON.stringify(request.body);
    }
    if (request.signal) init.signal = request.signal;
    let response: Response;
    let text: string;
    try {
      response = await this.fetch(this.base + request.path, init);
      text = await response.text();
    } catch (cause) {
      if (request.signal?.aborted) throw cause;
      const message = "the gateway could not be reached";
      throw new MozaiksError(message, 0, "NETWORK_ERROR", undefined, undefined, { cause });
    }
    return readAnswer<T>(response, text);
  }
}

function readAnswer<T>(response: Response, text: string): T {
  const requestId = response.headers.get("x-request-id") ?? undefined;
  let body: unknown;
  try {
    body = text === "" ? undefined : JSON.parse(text);
  } catch {
    const message = `the gateway's answer with status ${response.status} is no JSON`;
    throw new MozaiksError(message, response.status, "INVALID_ANSWER", requestId, text);
  }
  const failure = body as { error?: unknown; error_code?: unknown } | null | undefined;
  if (response.ok && typeof failure?.error !== "string") return body as T;
  const message = typeof failure?.error === "string" ? failure.error : `status ${response.status}`;
  const code = typeof failure?.error_code === "string" ? failure.error_code : "UNKNOWN";
  throw new MozaiksError(message, response.status, code, requestId, body);
}
