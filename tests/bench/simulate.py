#!/usr/bin/env python3
"""A fleet of runners on paper: what a release of many layers takes with and without the shared store.

    phplayer build --store EMPTY recipes/php-84.toml 2>build.log
    phplayer plan --format json recipes/php-84.toml >plan.json
    tests/bench/simulate.py plan.json build.log [PULLED.log]

The plan gives the needs of each step, the log the time of each. Extensions and libraries beyond those of the plan are
copies of them: a library of theirs is as long to compile as one of ours. A runner has two processors, takes one job
(recipe, release, architecture) after the other, and in a job two steps at once. Before a step it asks the shared store, as
phplayer does, and compiles what is not there at that moment, even if another runner is at it.
"""

import argparse
import heapq
import json
import re
import statistics
from dataclasses import dataclass

SLOTS = 2
RELEASES, EXTENSIONS, ARCHITECTURES = 8, 60, ("x86_64", "arm64")
RECIPES, EACH = 4, 30  # recipes for each release, and extensions in each: every extension is in two of them
LINE = re.compile(r"^ *(Compile|Pull) +(\S+) +(?:(\d+)m )?([\d.]+)s")


@dataclass(frozen=True)
class Step:
    key: tuple
    needs: tuple
    seconds: float


def times(log, verb):
    found = {}
    for line in open(log, encoding="utf-8"):
        match = LINE.match(line)
        if match and match[1] == verb:
            found[match[2]] = int(match[3] or 0) * 60 + float(match[4])
    return found


class Catalogue:
    """Steps of any release, made of the measured ones."""

    def __init__(self, plan, seconds):
        steps = {step["id"]: step for step in plan["steps"] if step["id"] in seconds}
        kind = lambda name: [one for one in steps if one.startswith(name)]
        self.seconds = seconds
        self.libraries = {name: [need for need in steps[name]["needs"] if need in steps] for name in kind("lib:")}
        self.extensions = [
            (name, [need for need in steps[name]["needs"] if need.startswith("lib:")]) for name in kind("ext:")
        ]
        self.php, self.link = kind("php:")[0], kind("link:")[0]

    def library(self, name, copy, arch, into):
        needs = tuple(self.library(need, copy, arch, into) for need in self.libraries[name])
        key = (arch, name, copy)
        into[key] = Step(key, needs, self.seconds[name])
        return key

    def job(self, release, recipe, arch):
        """The steps of one recipe, needs first."""
        steps = {}
        php = (arch, "php", release)
        steps[php] = Step(php, (), self.seconds[self.php])
        parts = [php]
        for number in range(recipe * EXTENSIONS // RECIPES, recipe * EXTENSIONS // RECIPES + EACH):
            number %= EXTENSIONS
            copy, at = divmod(number, len(self.extensions))
            name, needs = self.extensions[at]
            libraries = tuple(self.library(need, copy, arch, steps) for need in needs)
            key = (arch, name, copy, release)
            steps[key] = Step(key, libraries + (php,), self.seconds[name])
            parts.append(key)
        link = (arch, "link", release, recipe)
        steps[link] = Step(link, tuple(steps), self.seconds[self.link])
        return list(steps.values())


def simulate(jobs, runners, shared, pull):
    """Wall time, seconds of compiling, and how often a step was compiled that another runner had or was making."""
    queue = list(jobs)
    there = {}  # key -> when it is in the shared store
    compiled, twice, seen = 0.0, 0, set()
    events = [(0.0, runner, None) for runner in range(runners)]
    heapq.heapify(events)
    local = [set() for _ in range(runners)]  # a runner is a new machine for each job
    waiting = [[] for _ in range(runners)]
    running = [0] * runners
    end = 0.0
    while events:
        now, runner, done = heapq.heappop(events)
        end = max(end, now)
        if done is not None:
            running[runner] -= 1
            local[runner].add(done)
        if not waiting[runner] and running[runner] == 0:
            if not queue:
                continue
            waiting[runner] = list(queue.pop(0))
            local[runner] = set()
        while running[runner] < SLOTS:
            ready = next((step for step in waiting[runner] if all(need in local[runner] for need in step.needs)), None)
            if ready is None:
                break
            waiting[runner].remove(ready)
            if shared and there.get(ready.key, float("inf")) <= now:
                took = pull
            else:
                took = ready.seconds
                compiled += took
                twice += ready.key in seen
                seen.add(ready.key)
                there[ready.key] = min(there.get(ready.key, float("inf")), now + took)
            running[runner] += 1
            heapq.heappush(events, (now + took, runner, ready.key))
    return end, compiled, twice


def hours(seconds):
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.0f} min"


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("plan")
    arguments.add_argument("log")
    arguments.add_argument("pulled", nargs="?", help="a log with Pull lines: what a pull takes; else one second")
    given = arguments.parse_args()
    catalogue = Catalogue(json.load(open(given.plan, encoding="utf-8"))[0], times(given.log, "Compile"))
    pulls = list(times(given.pulled, "Pull").values()) if given.pulled else [1.0]
    pull = statistics.mean(pulls)

    jobs = [
        catalogue.job(release, recipe, arch)
        for recipe in range(RECIPES) for release in range(RELEASES) for arch in ARCHITECTURES
    ]
    distinct = {step.key: step for job in jobs for step in job}
    count = lambda test: sum(1 for key in distinct if test(key[1]))
    print(f"{len(jobs)} layers: {RELEASES} releases x {RECIPES} recipes x {len(ARCHITECTURES)} architectures")
    print(f"steps: {len(distinct)}, of which libraries {count(lambda n: n.startswith('lib:'))}, PHP "
          f"{count(lambda n: n == 'php')}, extensions {count(lambda n: n.startswith('ext:'))}, links "
          f"{count(lambda n: n == 'link')}")
    print(f"uses of steps in all jobs: {sum(map(len, jobs))}; shared by two jobs or more: "
          f"{sum(1 for key in distinct if sum(any(s.key == key for s in job) for job in jobs) > 1)}")
    print(f"compiling each once: {hours(sum(step.seconds for step in distinct.values()))} of one step at a time; "
          f"a pull: {pull:.1f} s")
    print(f"{'runners':>7}  {'alone':>8}  {'shared':>8}  {'compiling alone':>15}  {'shared':>8}  compiled twice")
    for runners in (1, 8, 32):
        alone = simulate(jobs, runners, False, pull)
        shared = simulate(jobs, runners, True, pull)
        print(f"{runners:>7}  {hours(alone[0]):>8}  {hours(shared[0]):>8}  {hours(alone[1]):>15}  "
              f"{hours(shared[1]):>8}  {shared[2]}")


if __name__ == "__main__":
    main()
