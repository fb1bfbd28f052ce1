"""How fast the layer's PHP runs, against the plain script's by gcc, and which glibc it asks for."""

import re
import statistics
import subprocess
from pathlib import Path

import build
import phplayer
from recipe import Recipe
from setting import BenchError, Setting, figure, say
from timings import summary


def measure(setting: Setting) -> list[dict]:
    plain = build.plain_folder(setting)
    opt = phplayer.layer(setting, Recipe(), "vm")
    return [speed(setting, opt / "bin/php", plain), glibc(opt / "bin/php")]


def speed(setting: Setting, ours: Path, plain: Path) -> dict:
    script = plain / "src/php/Zend/bench.php"
    programs = {"layer": ours, "plain": plain / "usr/bin/php"}
    seconds = {name: [] for name in programs}
    order = list(programs)
    for count in range(setting.repetitions(15) + 1):
        for name in order:
            taken = total(programs[name], script)
            if count > 0:  # the first brings the files into the page cache
                seconds[name].append(taken)
        order.reverse()
    median = {name: statistics.median(values) for name, values in seconds.items()}
    say(", ".join(f"{name} {value:.3f} s" for name, value in median.items()))
    return figure(
        "vm", "`php -n Zend/bench.php` against a plain gcc -O2 build", "times the plain build's (medians)",
        median["layer"] / median["plain"], 1.05, seconds={name: summary(values) for name, values in seconds.items()},
    )


def total(php: Path, script: Path) -> float:
    """The script's own sum, in seconds."""
    text = subprocess.run([php, "-n", script], capture_output=True, text=True, check=True).stdout
    found = re.search(r"^Total\s+([\d.]+)", text, re.MULTILINE)
    if not found:
        raise BenchError(f"{script} printed no total:\n{text}")
    return float(found[1])


def glibc(php: Path) -> dict:
    symbols = subprocess.run(["objdump", "-T", php], capture_output=True, text=True, check=True).stdout
    versions = {tuple(map(int, version.split("."))) for version in re.findall(r"\(?GLIBC_([\d.]+)\)?", symbols)}
    newest = max(versions)
    result = figure("glibc", "the newest GLIBC symbol of bin/php", "version", newest, (2, 34))
    shown = {"measured": ".".join(map(str, newest)), "at_most": "2.34"}
    return {**result, **shown}
