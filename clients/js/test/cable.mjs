/** A cable between a page and the gateway that a test can pull, and plug in again. */

import { connect, createServer } from "node:net";

/** Passes connections on to `url` until they are cut; `url` of what it gives leads there. */
export async function layCable(url) {
  const { hostname, port } = new URL(url);
  const ends = new Set();
  let plugged = true;
  const server = createServer((near) => {
    if (!plugged) return near.destroy();
    const far = connect(Number(port), hostname);
    for (const [end, other] of [[near, far], [far, near]]) {
      ends.add(end);
      end.on("error", () => other.destroy());
      end.on("close", () => (ends.delete(end), other.destroy()));
      end.pipe(other);
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const pull = () => {
    plugged = false;
    for (const end of ends) end.destroy();
  };
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    pull,
    plug: () => (plugged = true),
    close: () => (pull(), server.close()),
  };
}
