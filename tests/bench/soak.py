"""A million events of every kind through one instance: each is answered as it should be, and nothing grows."""

import base64
import json
from pathlib import Path

import phplayer
import runtime
from setting import BenchError, Setting, figure, say

FORM = "application/x-www-form-urlencoded"
# Path, method, body, content type, and the status that is right.
PAGES = {
    "get": ("/", "GET", b"", None, 200),
    "form": ("/form", "POST", b"field=" + b"x" * 994, FORM, 200),
    "body": ("/body", "POST", bytes(range(256)) * 400, "application/octet-stream", 200),
    "missing": ("/missing", "GET", b"", None, 404),
    "redirect": ("/redirect", "GET", b"", None, 302),
    "error": ("/error", "GET", b"", None, 500),
}


def measure(setting: Setting) -> list[dict]:
    layer = runtime.runtime_zip(setting)
    folder = setting.empty("soak")
    count = setting.repetitions(1_000_000)

    files = []
    for name, (path, method, body, kind, _) in PAGES.items():
        files.append(folder / f"{name}.json")
        files[-1].write_text(json.dumps(event(path, method, body, kind)), encoding="utf-8")
    say(f"{count} requests to a site")
    site = soak(setting, layer, "index.php", files, count)
    for case, (name, page) in zip(site["cases"], PAGES.items()):
        if case["errors"] or case["statuses"] != {str(page[4]): case["responses"]}:
            raise BenchError(f"{name} was not always answered with {page[4]}: {case}")

    fine, throws = folder / "fine.json", folder / "throws.json"
    fine.write_text('{"number": 7}', encoding="utf-8")
    throws.write_text('{"throw": true}', encoding="utf-8")
    say(f"{count} events to a function")
    function = soak(setting, layer, "answer", [fine, throws], count)
    good, bad = function["cases"]
    if good["errors"] or bad["responses"]:
        raise BenchError(f"the function did not answer as it should: {function['cases']}")
    return [*figures("site", site), *figures("function", function)]


def soak(setting: Setting, layer: Path, handler: str, events: list[Path], count: int) -> dict:
    words = ["bench", "--layer", layer, "--task", runtime.APP, "--handler", handler, "--format", "json"]
    for one in events:
        words += ["--event", one]
    result = json.loads(phplayer.run(setting, *words, "--soak", count, tell=True).stdout)["soak"]
    answered = sum(case["responses"] + case["errors"] for case in result["cases"])
    if answered != count:
        raise BenchError(f"{answered} of {count} events were answered")
    say(f"memory {result['memory_growth']} times, {result['descriptor_growth']:+d} descriptors, since a tenth of the way")
    return result


def figures(name: str, result: dict) -> list[dict]:
    what = f"after {result['events']} events to one instance of a {name}, against a tenth of them"
    return [
        figure(
            f"soak-{name}-memory", f"resident memory {what}", "times", result["memory_growth"], 1.02,
            seconds=result["seconds"], cases=result["cases"], moments=result["moments"],
        ),
        figure(f"soak-{name}-descriptors", f"open descriptors {what}", "more", result["descriptor_growth"], 0),
    ]


def event(path: str, method: str, body: bytes, kind: str | None) -> dict:
    """An HTTP API's event, payload 2.0."""
    headers = {"host": "localhost", "user-agent": "soak"}
    if kind:
        headers |= {"content-type": kind, "content-length": str(len(body))}
    made = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": headers,
        "requestContext": {
            "domainName": "localhost",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "soak"},
            "requestId": "soak",
            "stage": "$default",
        },
        "isBase64Encoded": bool(body),
    }
    if body:
        made["body"] = base64.b64encode(body).decode()
    return made
