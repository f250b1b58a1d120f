import type { TokenRequest } from "./types.js";

/** How long before its end a token is replaced, in milliseconds. */
const RENEW_BEFORE_MS = 60_000;
/** `setTimeout` counts in 32 bits. */
const LONGEST_TIMEOUT_MS = 2 ** 31 - 1;

/** The least time between two renewals, in milliseconds. */
const SHORTEST_WAIT_MS = 1_000;

/** The times in a JWT, in milliseconds since 1970; `undefined` where it does not say. */
function timesOf(token: string): { issued: number | undefined; expiry: number | undefined } {
  const inMs = (time: unknown): number | undefined =>
    typeof time === "number" ? time * 1000 : undefined;
  try {
    const payload = token.split(".")[1] ?? "";
    const claims: unknown = JSON.parse(atob(payload.replace(/-/g, "+").replace(/_/g, "/")));
    const { iat, exp } = (claims ?? {}) as { iat?: unknown; exp?: unknown };
    return { issued: inMs(iat), expiry: inMs(exp) };
  } catch {
    return { issued: undefined, expiry: undefined };
  }
}

/** When a JWT expires, in milliseconds since 1970; `undefined` where it does not say. */
export function expiryOf(token: string): number | undefined {
  return timesOf(token).expiry;
}

/**
 * In how many milliseconds a token that was accepted should be replaced. A short-lived one at half of
 * its time.
 *
 * Our clock may be wrong: of a token that has just been made, the time it lasts counts, and one that has
 * ended by our clock alone is given a minute. Should it really end, the gateway says so.
 */
export function renewIn(token: string, now: number, justMade: boolean): number | undefined {
  const { issued, expiry } = timesOf(token);
  if (expiry === undefined) return undefined;
  const left = expiry - (justMade && issued !== undefined ? issued : now);
  if (left <= 0) return RENEW_BEFORE_MS;
  const wait = Math.max(left - RENEW_BEFORE_MS, left / 2, SHORTEST_WAIT_MS);
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
