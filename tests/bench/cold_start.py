"""From the exec of php-fpm to the first bytes of its first response, opcache on."""

import json
import os
import signal
import socket
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import debian
import fastcgi
import phplayer
from recipe import Recipe
from setting import BenchError, Setting, figure, say
from timings import summary

HELLO = '<?php echo "hello";\n'
FACTS = """<?php echo json_encode([
    "version" => PHP_VERSION,
    "extensions" => count(get_loaded_extensions()),
    "opcache" => function_exists("opcache_get_status") && (opcache_get_status(false)["opcache_enabled"] ?? false),
]);
"""
# A php-fpm that has not answered by then never will.
PATIENCE = 20


@dataclass(frozen=True)
class Fpm:
    """A php-fpm, and the files it starts with."""

    program: Path
    ini: Path
    conf_d: Path
    config: Path
    listen: Path
    log: Path

    def start_and_ask(self, script: Path) -> tuple[bytes, float]:
        """Starts it, asks it once, ends it: the body and the seconds.

        It inherits its socket, as from phplayer's bootstrap: nobody waits for a socket's file, and the request stands
        in the queue before there is a worker.
        """
        self.listen.unlink(missing_ok=True)
        request = fastcgi.get(script)
        with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
            listener.bind(str(self.listen))
            listener.listen(16)
            listener.set_inheritable(True)
            client.settimeout(PATIENCE)
            environment = {
                "PATH": "/usr/bin:/bin",
                "PHP_INI_SCAN_DIR": str(self.conf_d),
                "FPM_SOCKETS": f"{self.listen}={listener.fileno()}",
            }
            command = ["php-fpm", "--nodaemonize", "--force-stderr", "-y", str(self.config), "-c", str(self.ini)]
            if os.geteuid() == 0:
                command.append("--allow-to-run-as-root")
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            files = [(os.POSIX_SPAWN_OPEN, out, str(self.log), flags, 0o644) for out in (1, 2)]
            start = time.perf_counter()
            # The program is named by its file and called php-fpm: the layer's one executable goes by what it is called.
            child = os.posix_spawn(self.program, command, environment, file_actions=files)
            try:
                client.connect(str(self.listen))
                client.sendall(request)
                output, errors, first = fastcgi.answer(client)
            except OSError as error:
                raise BenchError(f"{self.program} did not answer: {error}; its log is {self.log}") from error
            finally:
                os.kill(child, signal.SIGTERM)
                os.waitpid(child, 0)
        body = output.partition(b"\r\n\r\n")[2]
        if errors or not body:
            raise BenchError(f"{self.program} answered {output!r} and {errors!r}; its log is {self.log}")
        return body, first - start


def measure(setting: Setting) -> list[dict]:
    recipe = Recipe()
    layers = {
        "layer": recipe,
        "core": recipe.with_extensions([]),
        "core-and-opcache": recipe.with_extensions(["opcache"]),
    }
    folder = setting.empty("cold-start")
    pages = folder / "pages"
    pages.mkdir()
    (pages / "hello.php").write_text(HELLO, encoding="utf-8")
    (pages / "facts.php").write_text(FACTS, encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="bench-") as sockets:  # a socket's path may have 107 bytes only
        all_fpm = {}
        for name, one in layers.items():
            say(f"making {name}")
            opt = phplayer.layer(setting, one, f"cold-start/{name}")
            etc = opt / "etc/php"
            all_fpm[name] = prepare(name, folder, sockets, opt / "bin/php", etc / "php.ini", etc / "conf.d")
        root = debian.install(setting)
        all_fpm["debian"] = prepare(
            "debian", folder, sockets, root / "usr/sbin/php-fpm8.2", root / "etc/php.ini", root / "etc/conf.d"
        )
        return compare(setting, all_fpm, pages)


def prepare(name: str, folder: Path, sockets: str, program: Path, ini: Path, conf_d: Path) -> Fpm:
    """Its own minimal configuration: one worker, no daemon, as in the layer's."""
    listen = Path(sockets) / f"{name}.sock"
    config = folder / f"{name}.conf"
    owner = "user = root\ngroup = root\n" if os.geteuid() == 0 else ""
    config.write_text(
        f"[global]\ndaemonize = no\nerror_log = /dev/null\nlog_level = warning\n\n"
        f"[www]\nlisten = {listen}\n{owner}pm = static\npm.max_children = 1\nclear_env = no\n",
        encoding="utf-8",
    )
    return Fpm(program, ini, conf_d, config, listen, folder / f"{name}.log")


def compare(setting: Setting, all_fpm: dict[str, Fpm], pages: Path) -> list[dict]:
    facts = {name: json.loads(fpm.start_and_ask(pages / "facts.php")[0]) for name, fpm in all_fpm.items()}
    for name in ("layer", "core-and-opcache", "debian"):
        if not facts[name]["opcache"]:
            raise BenchError(f"opcache is off in {name}: {facts[name]}")
    hello = pages / "hello.php"
    seconds = {name: [] for name in all_fpm}
    for name, fpm in all_fpm.items():  # so that all files are in the page cache
        for _ in range(3):
            fpm.start_and_ask(hello)
    order = list(all_fpm)
    for count in range(setting.repetitions(50)):
        for name in order:
            seconds[name].append(all_fpm[name].start_and_ask(hello)[1])
        order = order[1:] + order[:1]
    median = {name: statistics.median(values) for name, values in seconds.items()}
    say(", ".join(f"{name} {value * 1000:.1f} ms" for name, value in median.items()))
    detail = {
        "milliseconds": {name: summary([value * 1000 for value in values], 2) for name, values in seconds.items()},
        "php": facts,
    }
    return [
        figure(
            "cold-start-to-core",
            "the layer's php-fpm to its first response, against the same with no extension but the core",
            "times the core's (medians)", median["layer"] / median["core"], 1.3,
            to_core_and_opcache=round(median["layer"] / median["core-and-opcache"], 3), **detail,
        ),
        figure(
            "cold-start-to-debian", "the same against Debian 12's php8.2-fpm with the extensions as shared objects",
            "times Debian's (medians)", median["layer"] / median["debian"], round(1 / 3, 4),
        ),
    ]
