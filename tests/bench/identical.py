"""Two builds from empty stores, in different folders, for different users' homes: the same zips to the byte."""

import hashlib
import shutil
from pathlib import Path

import build
import phplayer
from recipe import Recipe
from setting import BenchError, Setting, figure, say


def measure(setting: Setting) -> list[dict]:
    one = setting.empty("identical-one")
    store = build.finished_store(setting)
    say("the first build" + (", from the store that the `build` bench filled" if store else ""))
    first = make(setting, one, store or one / "store")
    say("the second build, from an empty store")
    other = setting.empty("identical-other/a/longer/path")
    second = make(setting, other, other / "kept")
    names = sorted(first.keys() | second.keys())
    differing = [name for name in names if first.get(name) != second.get(name)]
    return [
        figure(
            "identical", "zips of two builds from empty stores in different folders that differ", "files",
            len(differing), 0, differing=differing, first=first, second=second,
            first_store_of_build_bench=store is not None,
        )
    ]


def make(setting: Setting, folder: Path, store: Path) -> dict[str, str]:
    """Digests of the zips, by name."""
    home = folder / "home"
    home.mkdir()
    recipe = Recipe()
    if shutil.which("composer"):
        recipe = recipe.with_vendor(folder)
    phplayer.build(setting, recipe.write(folder), folder / "out", "--offline", store=store, home=home, tell=True)
    zips = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (folder / "out").glob("*/*.zip")}
    if "runtime.zip" not in zips:
        raise BenchError(f"the build left no runtime.zip in {folder / 'out'}")
    return zips
