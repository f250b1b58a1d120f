import type { TokenRequest } from "./types.js";

/** How long before its end a token is replaced, in milliseconds. */
const RENEW_BEFORE_MS = 60_000;
/** `setTimeout` counts in 32 bits. */
const LONGEST_TIMEOUT_MS = 2 ** 31 - 1;

/** When a JWT expires, in milliseconds since 1970; `undefined` where it does not say. */
export function expiryOf(token: string): number | undefined {
  const payload = token.split(".")[1];
  if (payload === undefined) return undefined;
  try {
    const claims: unknown = JSON.parse(atob(payload.replace(/-/g, "+").replace(/_/g, "/")));
    const exp = (claims as { exp?: unknown } | null)?.exp;
    return typeof exp === "number" ? exp * 1000 : undefined;
  } catch {
    return undefined;
  }
}

/** In how many milliseconds a token should be replaced. A short-lived one at half of its time. */
export function renewIn(token: string, now: number): number | undefined {
  const expiry = expiryOf(token);
  if (expiry === undefined) return undefined;
  const left = expiry - now;
  const wait = Math.max(left - RENEW_BEFORE_MS, left / 2, 0);
  return Math.min(wait, LONGEST_TIMEOUT_MS);
}

/** Asks the app for tokens. Requests at the same time share one answer. */
export class TokenSource {
  #getToken: (request: TokenRequest) => string | Promise<string>;
  #pending: Promise<string> | undefined;
  #pendingRefreshes = false;

  constructor(getToken: (request: TokenRequest) => string | Promise<string>) {
    this.#getToken = getToken;
  }

  get(refresh: boolean): Promise<string> {
    if (this.#pending && (this.#pendingRefreshes || !refresh)) return this.#pending;
    const pending = (async () => this.#getToken({ refresh }))().finally(() => {
      if (this.#pending === pending) this.#pending = undefined;
    });
    this.#pending = pending;
    this.#pendingRefreshes = refresh;
    return pending;
  }
}
