"""`build` from an empty store against plain.sh, and the next recipe against its new extensions' own steps."""

import hashlib
import subprocess
import sys
import time
from pathlib import Path

import machine
import phplayer
from recipe import COMING, GOING, Recipe
from setting import HERE, BenchError, Setting, figure, say

PLAIN = "plain"
# Names the phplayer whose complete build stands in the work folder.
MARK = "build/made-by"


def measure(setting: Setting) -> list[dict]:
    for archive in setting.sources.iterdir():  # so that neither of the two pays for a cold disk
        if archive.is_file():
            archive.read_bytes()

    folder = setting.empty("build")
    home = folder / "home"
    home.mkdir()
    say("phplayer build from an empty store")
    store = folder / "store"
    load = [machine.load()]
    ours = phplayer.build(
        setting, Recipe().write(folder), folder / "out", "--offline", "-j2", store=store, home=home, tell=True
    )
    load.append(machine.load())
    (setting.work / MARK).write_text(fingerprint(setting), encoding="utf-8")

    say("the plain script")
    setting.empty(PLAIN).rmdir()
    log = setting.work / "plain.log"
    plain = plain_script(setting, log)
    load.append(machine.load())
    say(f"phplayer {ours.seconds:.0f} s, plain script {plain:.0f} s")

    say("the next recipe")
    return [
        figure(
            "build", "`build` from an empty store with sources at hand, against plain.sh",
            "times the plain script's wall time", ours.seconds / plain, 1.2,
            phplayer_seconds=round(ours.seconds, 1), plain_seconds=round(plain, 1), steps=ours.compiled,
            load_before_between_after=load,
        ),
        next_recipe(setting, store, home),
    ]


def next_recipe(setting: Setting, store: Path, home: Path) -> dict:
    folder = setting.empty("next-recipe")
    recipe = Recipe().without(*GOING)
    recipe = recipe.with_extensions([*recipe.extensions, *COMING])
    run = phplayer.build(
        setting, recipe.write(folder), folder / "out", "--offline", "-j2", store=store, home=home, tell=True
    )
    own = {step: seconds for step, seconds in run.compiled.items() if step.startswith("ext:")}
    missing = {f"ext:{name}" for name in COMING} - own.keys()
    if missing:
        raise BenchError(f"the next recipe should have compiled {', '.join(sorted(missing))}: its store was not new")
    return figure(
        "next-recipe", "five other extensions in place of five: their own steps and 5 s", "seconds",
        run.seconds, round(sum(own.values()) + 5, 1), steps=run.compiled,
    )


def plain_script(setting: Setting, log: Path) -> float:
    """Runs it into a folder that is not there yet: its wall time in seconds."""
    start = time.perf_counter()
    with log.open("w") as out:
        ended = subprocess.run(
            ["bash", HERE / "plain.sh", setting.sources, setting.work / PLAIN],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False,
        )
    if ended.returncode != 0:
        last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
        print("\n".join(last), file=sys.stderr)
        raise BenchError(f"plain.sh ended with {ended.returncode}; its log is {log}")
    return time.perf_counter() - start


def plain_folder(setting: Setting) -> Path:
    """What plain.sh made; it runs first where it has not."""
    folder = setting.work / PLAIN
    if not (folder / "usr/sbin/php-fpm").exists():
        say("the plain script, since its PHP is not there yet")
        setting.empty(PLAIN).rmdir()
        plain_script(setting, setting.work / "plain.log")
    return folder


def fingerprint(setting: Setting) -> str:
    return hashlib.sha256(setting.phplayer.read_bytes()).hexdigest()


def finished_store(setting: Setting) -> Path | None:
    """The store of a complete `build` bench of this same phplayer, if there is one."""
    mark = setting.work / MARK
    same = mark.exists() and mark.read_text(encoding="utf-8") == fingerprint(setting)
    return setting.work / "build" / "store" if same else None
