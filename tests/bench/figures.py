"""The command line: which benches run, on what, and the one document they end in."""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True

import arm64  # noqa: E402
import build  # noqa: E402
import cold_start  # noqa: E402
import identical  # noqa: E402
import machine  # noqa: E402
import phplayer  # noqa: E402
import runtime  # noqa: E402
import sizes  # noqa: E402
import soak  # noqa: E402
import vm  # noqa: E402
import warm  # noqa: E402
from recipe import Recipe  # noqa: E402
from setting import REPOSITORY, BenchError, Setting, say  # noqa: E402

# In the order of `all`: the first fills the store that the others take.
BENCHES = {
    "build": build.measure,
    "warm": warm.measure,
    "cold-start": cold_start.measure,
    "sizes": sizes.measure,
    "vm": vm.measure,
    "runtime": runtime.measure,
    "soak": soak.measure,
    "arm64": arm64.measure,
    "identical": identical.measure,
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tests/bench/run",
        description="Measures the figures that phplayer promises. One JSON document on stdout, talk on stderr. "
        "Ends with 0 when every figure is within its bound, 1 when one is not, 2 when the call is wrong.",
    )
    parser.add_argument("bench", nargs="?", default="all", choices=[*BENCHES, "all"])
    parser.add_argument(
        "--phplayer", type=Path, default=REPOSITORY / "target/release/phplayer", metavar="PATH",
        help="a release build [default: target/release/phplayer]",
    )
    parser.add_argument(
        "--sources", type=Path, default=os.environ.get("PHPLAYER_SOURCES"), metavar="DIR",
        help="folder of source archives and zig's wheel [default: PHPLAYER_SOURCES, else fetched into the work folder]",
    )
    parser.add_argument(
        "--store", type=Path, metavar="DIR",
        help="the warm store [default: the one that `build` fills in the work folder]",
    )
    parser.add_argument(
        "--work", type=Path, default=REPOSITORY / "target/bench", metavar="DIR",
        help="where all is written [default: target/bench]",
    )
    parser.add_argument(
        "--layer", type=Path, metavar="ZIP",
        help="the runtime.zip that `runtime` and `soak` take [default: built from the warm store]",
    )
    parser.add_argument("--reps", type=int, metavar="N", help="repetitions, in place of each bench's own count")
    given = parser.parse_args()
    if not os.access(given.phplayer, os.X_OK):
        parser.error(f"{given.phplayer} is not there: cargo build --release, or --phplayer PATH")
    if given.reps is not None and given.reps < 1:
        parser.error("--reps is at least 1")
    if given.layer is not None and not given.layer.is_file():
        parser.error(f"{given.layer} is not there")
    if given.sources is not None and not given.sources.is_dir():
        parser.error(f"{given.sources} is not a folder")
    return given


def main() -> int:
    given = arguments()
    work = given.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    store = given.store.resolve() if given.store else work / "build" / "store"
    sources = given.sources.resolve() if given.sources else work / "sources"
    layer = given.layer.resolve() if given.layer else None
    setting = Setting(given.phplayer.resolve(), sources, store, work, given.reps, layer)
    if given.sources is None and not (layer and given.bench in ("runtime", "soak")):
        fetched(setting)

    version, facts = phplayer.version(setting), machine.facts()
    if facts["load"][0] > facts["cores"] / 2:
        say(f"this machine is busy (load {facts['load'][0]} on {facts['cores']} cores): the figures will be blurred")
    figures, failures = [], {}
    start = time.monotonic()
    for name in BENCHES if given.bench == "all" else [given.bench]:
        say(f"== {name}")
        try:
            figures += BENCHES[name](setting)
        except (BenchError, OSError, subprocess.SubprocessError) as error:  # the others still tell something
            say(f"{name}: {error}")
            failures[name] = str(error)
    good = not failures and all(one["pass"] for one in figures)
    document = {
        "schema": 1,
        "phplayer": version,
        "machine": {**facts, "load_at_end": machine.load(), "minutes": round((time.monotonic() - start) / 60, 1)},
        "figures": figures,
        "not_measured": failures,
        "pass": good,
    }
    print(json.dumps(document, indent=2))
    return 0 if good else 1


def fetched(setting: Setting) -> None:
    """Has phplayer fetch what the recipe and the toolchain need, and lays it out as one folder of files."""
    if setting.sources.is_dir():
        return
    folder = setting.empty("fetched")
    phplayer.fetch(setting, Recipe().write(folder), folder / "store")
    setting.sources.mkdir()
    for archive in (folder / "store" / "sources").glob("*/*"):
        os.link(archive, setting.sources / archive.name)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchError as error:
        say(str(error))
        sys.exit(1)
