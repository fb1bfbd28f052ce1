"""Debian 12's php8.2-fpm and its shared extensions, unpacked from their packages: nothing of the machine is changed."""

import subprocess
from pathlib import Path

from setting import BenchError, Setting, say

PACKAGES = [
    f"php8.2-{name}" for name in ("fpm", "common", "curl", "mbstring", "mysql", "opcache", "sqlite3", "xml")
]
# The rest of the recipe's extensions are linked into Debian's executable: filter, openssl, session, zlib. pcntl is only
# in its command line's. Ordered as Debian loads them: by their numbers, then by name.
SHARED = [
    "mysqlnd", "opcache", "pdo", "xml",
    "ctype", "curl", "dom", "fileinfo", "iconv", "mbstring", "mysqli", "pdo_mysql", "pdo_sqlite", "phar", "posix",
    "simplexml", "sqlite3", "tokenizer", "xmlreader", "xmlwriter",
]


def install(setting: Setting) -> Path:
    """The folder with `usr/sbin/php-fpm8.2`, its extensions, and an `etc` as Debian's would be."""
    root = setting.work / "debian"
    if not (root / "etc/conf.d").is_dir():
        root = setting.empty("debian")
        say(f"downloading {' '.join(PACKAGES)}")
        packages = root / "packages"
        packages.mkdir()
        call(["apt-get", "download", *PACKAGES], packages)
        for package in packages.glob("*.deb"):
            call(["dpkg", "-x", str(package), str(root)], packages)
        configure(root)
    check(root)
    return root


def configure(root: Path) -> None:
    """Debian's php.ini for production, and one file for each extension, as its packages make them."""
    etc = root / "etc"
    (etc / "conf.d").mkdir(parents=True)
    production = root / "usr/lib/php/8.2/php.ini-production"
    modules = next(root.glob("usr/lib/php/2*"))
    text = production.read_text(encoding="utf-8")
    (etc / "php.ini").write_text(f'{text}\nextension_dir = "{modules}"\n', encoding="utf-8")
    for number, name in enumerate(SHARED, start=10):
        kind = "zend_extension" if name == "opcache" else "extension"
        (etc / "conf.d" / f"{number}-{name}.ini").write_text(f"{kind}={name}.so\n", encoding="utf-8")


def check(root: Path) -> None:
    modules = [str(path) for name in SHARED for path in root.glob(f"usr/lib/php/2*/{name}.so")]
    if len(modules) != len(SHARED):
        raise BenchError(f"Debian's packages hold {len(modules)} of the {len(SHARED)} extensions")
    needed = subprocess.run(
        ["ldd", str(root / "usr/sbin/php-fpm8.2"), *modules], capture_output=True, text=True, check=False
    ).stdout
    lacking = sorted({line.split()[0] for line in needed.splitlines() if "not found" in line})
    if lacking:
        raise BenchError(
            f"Debian's PHP needs {', '.join(lacking)}: apt-get install --no-install-recommends {' '.join(PACKAGES)}"
        )


def call(command: list[str], folder: Path) -> None:
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise BenchError(f"`{' '.join(command)}` ended with {ended.returncode}:\n{ended.stderr}")
