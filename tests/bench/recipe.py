"""The recipe that is measured, recipes/php-84.toml, and changed copies of it."""

import json
import shutil
import tomllib
from pathlib import Path

from setting import REPOSITORY

FILE = REPOSITORY / "recipes" / "php-84.toml"

# For the figure of the next recipe: five that nobody needs go, five others come.
GOING = ("fileinfo", "pcntl", "phar", "posix", "tokenizer")
COMING = ("bcmath", "calendar", "exif", "shmop", "sockets")


class Recipe:
    """A recipe as data. Without its [vendor] unless asked for: most figures are those of the runtime."""

    def __init__(self, table: dict | None = None):
        if table is None:
            table = tomllib.loads(FILE.read_text(encoding="utf-8"))
            table.pop("vendor", None)
        self.table = table

    @property
    def extensions(self) -> list[str]:
        return self.table["extensions"]

    def with_extensions(self, extensions) -> "Recipe":
        return Recipe({**self.table, "extensions": list(extensions)})

    def without(self, *names: str) -> "Recipe":
        return self.with_extensions(name for name in self.extensions if name not in names)

    def with_ini(self, name: str, value) -> "Recipe":
        return Recipe({**self.table, "ini": {**flat(self.table.get("ini", {})), name: value}})

    def with_vendor(self, folder: Path) -> "Recipe":
        """With its Composer project copied into `folder`, where the recipe will be written."""
        vendor = tomllib.loads(FILE.read_text(encoding="utf-8")).get("vendor")
        if vendor is None:
            return self
        made = shutil.ignore_patterns("vendor", "out")
        shutil.copytree(FILE.parent / vendor["project"], folder / "project", ignore=made)
        return Recipe({**self.table, "vendor": {**vendor, "project": "project"}})

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "phplayer.toml"
        top = {key: value for key, value in self.table.items() if not isinstance(value, dict)}
        tables = {key: flat(value) for key, value in self.table.items() if isinstance(value, dict)}
        text = "".join(line(key, value) for key, value in top.items())
        for name, table in tables.items():
            text += f"\n[{name}]\n" + "".join(line(key, value) for key, value in table.items())
        path.write_text(text, encoding="utf-8")
        return path


def line(key: str, value) -> str:
    # Strings, numbers, booleans and lists of them are written alike in TOML and JSON.
    return f"{key} = {json.dumps(value)}\n"


def flat(table: dict, before: str = "") -> dict:
    """`{"date": {"timezone": x}}` as `{"date.timezone": x}`: the form that TOML takes without quotes."""
    found = {}
    for key, value in table.items():
        if isinstance(value, dict):
            found |= flat(value, f"{before}{key}.")
        else:
            found[before + key] = value
    return found
