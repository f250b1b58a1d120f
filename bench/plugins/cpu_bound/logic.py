"""The bad neighbour: holds a thread with pure Python for as long as it is asked to."""

import time


def execute(data: dict) -> dict:
    end = time.perf_counter() + min(float(data.get("seconds", 1)), 30)
    rounds = 0
    while time.perf_counter() < end:
        rounds += sum(range(1000)) > 0
    return {"rounds": rounds}
