"""Runs phplayer as a user does, times it from outside, and reads what it says."""

import json
import os
import re
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

from recipe import Recipe
from setting import BenchError, Setting

COMPILED = re.compile(r"^ *Compile  (\S+) +(?:(\d+)m )?([\d.]+)s$")


@dataclass(frozen=True)
class Run:
    seconds: float
    stdout: str
    stderr: str

    @property
    def compiled(self) -> dict[str, float]:
        """Seconds by step, as phplayer told them: to the tenth below a minute, to the second above."""
        found = (COMPILED.match(line) for line in self.stderr.splitlines())
        return {match[1]: int(match[2] or 0) * 60 + float(match[3]) for match in found if match}


def run(setting: Setting, *arguments, home: Path | None = None, tell: bool = False) -> Run:
    """One call to its end. With `tell`, its talk goes on to stderr while it runs."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PHPLAYER_", "XDG_"))}
    environment["HOME"] = str(home or os.environ.get("HOME", "/"))
    command = [str(setting.phplayer), *map(str, arguments)]
    said = []
    start = time.perf_counter()
    # stdout goes to a file in memory, or a full pipe of it would stop a process whose stderr is being read.
    with os.fdopen(os.memfd_create("stdout"), "w+") as out:
        with subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE, text=True
        ) as process:
            for text in process.stderr:
                said.append(text)
                if tell:
                    print(text, end="", file=sys.stderr, flush=True)
            code = process.wait()
        seconds = time.perf_counter() - start
        out.seek(0)
        answer = out.read()
    if code != 0:
        raise BenchError(f"`{' '.join(command)}` ended with {code}:\n{''.join(said[-30:])}")
    return Run(seconds, answer, "".join(said))


def build(setting: Setting, recipe: Path, out: Path, *more, store: Path | None = None, **how) -> Run:
    """One `phplayer build`, from the warm store unless another is named."""
    places = ["--out", out, "--store", store or setting.store, "--sources", setting.sources]
    return run(setting, "build", recipe, *places, *more, **how)


def layer(setting: Setting, recipe: Recipe, name: str) -> Path:
    """Builds `recipe` from the warm store and unpacks its runtime.zip, as /opt on Lambda: the folder."""
    folder = setting.empty(name)
    build(setting, recipe.write(folder), folder / "out", tell=True)
    root = folder / "opt"
    with zipfile.ZipFile(runtime_zip(folder / "out")) as archive:
        for entry in archive.infolist():
            mode = entry.external_attr >> 16
            if mode & 0o170000 == 0o120000:
                target = root / entry.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(archive.read(entry).decode())
            else:
                Path(archive.extract(entry, root)).chmod(mode & 0o777)
    return root


def runtime_zip(out: Path) -> Path:
    """The one runtime.zip below an output folder."""
    found = list(out.glob("*/runtime.zip"))
    if len(found) != 1:
        raise BenchError(f"one runtime.zip was expected in {out}, and there are {len(found)}")
    return found[0]


def link_stored(setting: Setting, recipe: Path) -> bool:
    """True when the recipe's link is in the warm store already."""
    text = run(setting, "plan", recipe, "--store", setting.store).stdout
    line = next(line for line in text.splitlines() if line.strip().startswith("link:"))
    return line.rstrip().endswith("in the store")


def fetch(setting: Setting, recipe: Path, store: Path) -> None:
    run(setting, "fetch", recipe, "--store", store, tell=True)


def version(setting: Setting) -> str:
    return run(setting, "--version").stdout.strip()


def json_after_text(stdout: str):
    """The JSON answer, and the lines before it."""
    lines = stdout.splitlines()
    at = next((at for at, line in enumerate(lines) if line.startswith(("[", "{"))), None)
    if at is None:
        raise BenchError(f"a JSON answer was expected, and there is none:\n{stdout}")
    return json.loads("\n".join(lines[at:])), lines[:at]
