"""Facts of the machine that a figure was measured on."""

import os
import platform
import subprocess


def facts() -> dict:
    return {
        "cpu": _line("/proc/cpuinfo", "model name"),
        "cores": len(os.sched_getaffinity(0)),
        "memory": _line("/proc/meminfo", "MemTotal"),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "gcc": _first_line("gcc", "--version"),
        "load": load(),
    }


def load() -> list[float]:
    """Processes that ran or waited, on average of 1, 5 and 15 minutes: more than the cores spoils a figure."""
    return [round(value, 2) for value in os.getloadavg()]


def _line(path: str, key: str) -> str | None:
    with open(path, encoding="utf-8") as lines:
        return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(key)), None)


def _first_line(*command: str) -> str | None:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError):
        return None
