"""A build for arm64 on an x86_64 machine against the one for the machine itself, each from an empty store."""

import phplayer
from recipe import Recipe
from setting import Setting, figure, say

ARCHITECTURES = ("x86_64", "arm64")


def measure(setting: Setting) -> list[dict]:
    for archive in setting.sources.iterdir():  # so that neither of the two pays for a cold disk
        if archive.is_file():
            archive.read_bytes()
    runs = {}
    for arch in ARCHITECTURES:
        say(f"phplayer build for {arch} from an empty store")
        folder = setting.empty(f"build-{arch}")
        home = folder / "home"
        home.mkdir()
        runs[arch] = phplayer.build(
            setting, Recipe().write(folder), folder / "out", "--offline", "-j2", "--arch", arch,
            store=folder / "store", home=home, tell=True,
        )
    seconds = {f"{arch}_seconds": round(run.seconds, 1) for arch, run in runs.items()}
    steps = {arch: run.compiled for arch, run in runs.items()}
    return [
        figure(
            "arm64", "`build --arch arm64` from an empty store with sources at hand, against the same for x86_64",
            "times the wall time for x86_64", runs["arm64"].seconds / runs["x86_64"].seconds, 1.3, **seconds, steps=steps,
        )
    ]
