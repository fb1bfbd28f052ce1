"""What the runtime adds to PHP, cold and warm, in every mode: `phplayer bench` on the layer of recipes/php-84.toml."""

import json
from pathlib import Path

import phplayer
from recipe import Recipe
from setting import HERE, Setting, figure, say

APP = HERE / "app"
# How a site is asked, and how its figure is called.
REQUESTS = {
    "hello": ["--http", "GET /"],
    "form": ["--http", "POST /form", "--body", 1000],
    "body": ["--http", "POST /body", "--body", 100_000],
}


def measure(setting: Setting) -> list[dict]:
    layer = runtime_zip(setting)
    reports = {}
    for name, request in REQUESTS.items():
        say(f"the site, {name}")
        reports[name] = bench(setting, layer, "index.php", *request)
    say("the function, its worker kept")
    loop = bench(setting, layer, "answer", "--event", '{"number": 1}')
    say("the function, isolated")
    isolated = bench(setting, layer, "answer", "--event", '{"number": 1}', "--env", "PHPLAYER_ISOLATE=process")

    hello = reports["hello"]
    processes = [one["name"] for one in hello["processes"]]
    bootstrap = next(one for one in hello["processes"] if one["name"] == "bootstrap")
    return [
        figure(
            "runtime-cold", "a cold start above the same php-fpm alone", "milliseconds (medians)",
            hello["figures"]["cold_above_php_fpm"], 2.5, **brief(hello["cold"]),
        ),
        *(
            figure(
                f"runtime-warm-{name}", f"a warm event ({report['sent'][0]}) against php-fpm alone and an empty runtime",
                "times both together (medians)", report["figures"]["warm_ratio"], 1.2, **brief(report["warm"]),
            )
            for name, report in reports.items()
        ),
        figure(
            "runtime-loop", "a function's loop, from event to event, against an empty runtime's", "times it (medians)",
            loop["figures"]["loop_ratio"], 1.5, **brief(loop["warm"]),
        ),
        figure(
            "runtime-isolated", "a function's loop with each event in a process of its own", "milliseconds (median)",
            isolated["warm"]["subject"]["next"]["median"], 3, **brief(isolated["warm"]),
        ),
        figure("runtime-file", "the bootstrap's file", "kB (1000 bytes)", hello["function"]["bootstrap"] / 1e3, 700),
        figure("runtime-memory", "resident in the bootstrap", "MB (10^6 bytes)", bootstrap["rss"] / 1e6, 4),
        figure("runtime-processes", "processes of a site", "count", len(processes), 3, processes=processes),
    ]


def bench(setting: Setting, layer: Path, handler: str, *more) -> dict:
    counts = ["--reps", setting.repetitions(2000), "--cold-reps", min(setting.repetitions(100), 100)]
    words = ["--layer", layer, "--task", APP, "--handler", handler, "--format", "json", *counts, *more]
    return json.loads(phplayer.run(setting, "bench", *words).stdout)


def runtime_zip(setting: Setting) -> Path:
    """The layer that the command line names, else the one that is built from the warm store."""
    if setting.layer:
        return setting.layer
    folder = setting.empty("runtime")
    phplayer.build(setting, Recipe().write(folder), folder / "out", tell=True)
    return phplayer.runtime_zip(folder / "out")


def brief(kind: dict) -> dict:
    """Medians and percentiles without the single measurements."""
    def row(values: dict) -> dict:
        return {name: value for name, value in values.items() if name != "samples"}

    found = {}
    for who, values in kind.items():
        if values is not None:
            found[who] = row(values) if "median" in values else {leg: row(one) for leg, one in values.items()}
    return found
