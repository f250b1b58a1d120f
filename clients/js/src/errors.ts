/** The gateway answered with an error, or could not be reached (`status` 0). */
export class MozaiksError extends Error {
  /** The HTTP status. */
  readonly status: number;
  /** The gateway's code, such as `TOKEN_EXPIRED`; `NETWORK_ERROR` where it was not reached. */
  readonly errorCode: string;
  /** What operators need to find the request in their log. */
  readonly requestId: string | undefined;
  /** The whole answer: a plugin's domain failure may say more. */
  readonly body: unknown;

  constructor(
    message: string,
    status: number,
    errorCode: string,
    requestId?: string,
    body?: unknown,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = "MozaiksError";
    this.status = status;
    this.errorCode = errorCode;
    this.requestId = requestId;
    this.body = body;
  }
}
