/** Waits between attempts: each twice as long as the one before, and each a random part of that. */
export class Backoff {
  #attempt = 0;

  constructor(
    private readonly minMs: number,
    private readonly maxMs: number,
    private readonly random: () => number,
  ) {}

  /** The next wait, in milliseconds: between half of the step and all of it. */
  next(): number {
    const step = Math.min(this.maxMs, this.minMs * 2 ** this.#attempt);
    if (step < this.maxMs) this.#attempt += 1;
    return step / 2 + (this.random() * step) / 2;
  }

  reset(): void {
    this.#attempt = 0;
  }
}
