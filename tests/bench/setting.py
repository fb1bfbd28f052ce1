"""What the benches work with: the programs, folders and counts that the command line gave."""

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent


class BenchError(Exception):
    """A figure cannot be measured; the message says what to do."""


@dataclass(frozen=True)
class Setting:
    phplayer: Path
    """The release binary."""
    sources: Path
    """Source archives under Debian's or upstream's names, and zig's wheel."""
    store: Path
    """The warm store."""
    work: Path
    """Everything else is written here."""
    reps: int | None
    """Repetitions, in place of each bench's own count."""
    layer: Path | None
    """A runtime.zip that stands already."""

    def repetitions(self, usual: int) -> int:
        return self.reps or usual

    def empty(self, name: str) -> Path:
        """An empty folder in the work folder; what an earlier run left there goes."""
        folder = self.work / name
        if folder.exists():
            # A store's trees are read-only.
            for parent, _, _ in os.walk(folder):
                os.chmod(parent, 0o755)
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        return folder


def say(text: str) -> None:
    """Talk goes to stderr: stdout is the document."""
    print(f"    Bench  {text}", file=sys.stderr, flush=True)


def figure(name: str, asked: str, unit: str, measured, at_most, **detail) -> dict:
    """One figure as the document has it."""
    return {
        "name": name,
        "asked": asked,
        "unit": unit,
        "at_most": at_most,
        "measured": round(measured, 4) if isinstance(measured, float) else measured,
        "pass": bool(measured <= at_most),
        "detail": detail,
    }
