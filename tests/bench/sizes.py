"""How large runtime.zip is, zipped and unpacked, and what each part adds to the executable."""

import zipfile

import phplayer
from recipe import Recipe
from setting import Setting, figure


def measure(setting: Setting) -> list[dict]:
    folder = setting.empty("sizes")
    run = phplayer.build(setting, Recipe().write(folder), folder / "out", "--sizes", "--format", "json", tell=True)
    _, lines = phplayer.json_after_text(run.stdout)
    parts = dict(line.split(None, 1) for line in lines if line.strip())
    path = phplayer.runtime_zip(folder / "out")
    with zipfile.ZipFile(path) as archive:
        files = {entry.filename: entry.file_size for entry in archive.infolist()}
    return [
        figure("runtime-zipped", "runtime.zip of php-84, both SAPIs", "MB (10^6 bytes)", path.stat().st_size / 1e6, 9),
        figure(
            "runtime-unpacked", "the same, unpacked", "MB (10^6 bytes)", sum(files.values()) / 1e6, 26,
            executable_by_part=parts, files=dict(sorted(files.items(), key=lambda one: -one[1])),
        ),
    ]
