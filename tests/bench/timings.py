"""Medians and the like of repeated measurements."""

import statistics


def summary(values: list[float], digits: int = 4) -> dict:
    ordered = sorted(values)
    return {
        "median": round(statistics.median(ordered), digits),
        "p90": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.9))], digits),
        "lowest": round(ordered[0], digits),
        "highest": round(ordered[-1], digits),
        "repetitions": len(ordered),
    }
