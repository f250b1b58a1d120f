/** A gateway's side of WebSockets, driven by the test. */

export function token(claims = {}) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "none" })}.${part(claims)}.x`;
}

export class FakeNetwork {
  sockets = [];
  #waiting = [];

  get WebSocket() {
    const network = this;
    return class FakeWebSocket {
      readyState = 0;
      sent = [];
      onopen = null;
      onmessage = null;
      onclose = null;
      onerror = null;

      constructor(url, protocols) {
        this.url = new URL(url);
        this.protocols = protocols;
        network.sockets.push(this);
        network.#waiting.shift()?.(this);
      }

      send(data) {
        this.sent.push(JSON.parse(data));
      }

      close(code) {
        this.closedWith = code;
        this.readyState = 3;
      }

      /** The gateway acknowledges. */
      accept(ack = {}) {
        this.readyState = 1;
        this.say({ type: "connection_ack", epoch: "e1", offset: 0, ...ack });
      }

      say(message) {
        this.onmessage?.({ data: JSON.stringify(message) });
      }

      /** The connection ends from the other side. */
      drop(code = 1006, reason = "") {
        this.readyState = 3;
        this.onclose?.({ code, reason });
      }
    };
  }

  /** The next socket that the client opens. */
  next() {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}

/** Lets everything run that waits for nothing but its turn. */
export async function settle() {
  for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
}
