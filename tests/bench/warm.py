"""What a build costs when nothing, an ini value or the set of extensions has changed."""

import itertools
import statistics

import phplayer
from recipe import Recipe
from setting import BenchError, Setting, figure, say
from timings import summary


def measure(setting: Setting) -> list[dict]:
    folder = setting.empty("warm")
    recipe = Recipe()
    path = recipe.write(folder)
    out = folder / "out"
    say("settling: what the store lacks is built now")
    phplayer.build(setting, path, out, tell=True)
    return [
        unchanged(setting, path, out),
        one_ini_value(setting, recipe, folder),
        one_extension_less(setting, recipe, folder),
    ]


def unchanged(setting: Setting, path, out) -> dict:
    runs = [phplayer.build(setting, path, out) for _ in range(setting.repetitions(15))]
    compiled = [step for run in runs for step in run.compiled]
    if compiled:
        raise BenchError(f"nothing had changed, and {', '.join(compiled)} was compiled")
    seconds = [run.seconds for run in runs]
    say(f"unchanged: {statistics.median(seconds):.3f} s")
    return figure(
        "unchanged", "`build` when nothing changed", "seconds (median)", statistics.median(seconds), 0.3,
        **summary(seconds),
    )


def one_ini_value(setting: Setting, recipe: Recipe, folder) -> dict:
    """A new value each time: a zip that stands already would be left as it is."""
    seconds, compiled = [], []
    for count in range(setting.repetitions(5)):
        path = recipe.with_ini("default_socket_timeout", 61 + count).write(folder)
        run = phplayer.build(setting, path, folder / "out")
        seconds.append(run.seconds)
        compiled += run.compiled
    say(f"one ini value changed: {statistics.median(seconds):.2f} s")
    result = figure(
        "ini-value", "`build` when one ini value changed, and no compilation", "seconds (median)",
        statistics.median(seconds), 3, compiled=compiled, **summary(seconds),
    )
    result["pass"] = result["pass"] and not compiled
    return result


def one_extension_less(setting: Setting, recipe: Recipe, folder) -> dict:
    """Each time a recipe whose link the store does not have: one that it has would cost nothing."""
    seconds, steps, removed = [], [], []
    wanted = min(setting.repetitions(3), 5)
    for gone in itertools.chain(*(itertools.combinations(recipe.extensions, count) for count in (1, 2))):
        before, after = recipe.without(*gone[1:]), recipe.without(*gone)
        if phplayer.link_stored(setting, after.write(folder)):
            continue
        phplayer.build(setting, before.write(folder), folder / "out")
        run = phplayer.build(setting, after.write(folder), folder / "out")
        seconds.append(run.seconds)
        steps.append(list(run.compiled))
        removed.append(gone[0])
        if len(seconds) == wanted:
            break
    else:
        raise BenchError("the warm store has every recipe that could be tried; give another with --store")
    say(f"one extension removed: {statistics.median(seconds):.2f} s")
    result = figure(
        "extension-removed", "`build` when one extension was removed: a link and nothing else", "seconds (median)",
        statistics.median(seconds), 10, removed=removed, steps=steps, **summary(seconds),
    )
    result["pass"] = result["pass"] and all(len(one) == 1 and one[0].startswith("link:") for one in steps)
    return result
