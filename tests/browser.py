"""A headless Chromium, where there is one: it opens a page in a frame of a given width and runs a script beside it."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# What the frame's page says on its console counts; `wait` waits until a condition holds.
_HARNESS = """<!DOCTYPE html><html><body style="margin:0">
<iframe id="frame" style="border:0;width:{width}px;height:{height}px"></iframe>
<pre id="out">nothing</pre><script>
const errors = [], frame = document.getElementById("frame");
const wait = async (holds, what) => {{
  for (let turn = 0; turn < 400; turn += 1) {{ if (holds()) return; await new Promise((go) => setTimeout(go, 25)); }}
  throw new Error("never: " + what);
}};
(async () => {{
  let found;
  try {{
    frame.src = {page};
    await wait(() => frame.contentWindow.location.href !== "about:blank" && frame.contentDocument, "page");
    await wait(() => frame.contentDocument.documentElement, "document");
    const page = frame.contentWindow, doc = page.document, $ = (one) => doc.querySelector(one);
    page.addEventListener("error", (event) => errors.push(event.message));
    page.addEventListener("unhandledrejection", (event) => errors.push(String(event.reason)));
    page.console.error = (...words) => errors.push(words.join(" "));
    await wait(() => doc.documentElement.dataset.ready === "yes", "ready");
    found = await (async () => {{ {script} }})();
  }} catch (error) {{ errors.push(error.stack || String(error)); }}
  document.getElementById("out").textContent = JSON.stringify({{ errors, found }});
}})();
</script></body></html>"""


def find_chromium() -> str | None:
    """Return the program, of DNNOPT_CHROMIUM or the path."""
    return os.environ.get("DNNOPT_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)


def in_browser(
    page: Path, script: str, folder: Path, *, width: int = 1440, height: int = 900, picture: Path | None = None
) -> Any:
    """Return what a script returns that runs beside the page; the test is skipped where there is no Chromium.

    The script has `page` (the window), `doc`, `$` (one element by its selector) and `wait`.
    """
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium is installed (chromium on the PATH, or DNNOPT_CHROMIUM)")
    harness = folder / f"harness-{width}.html"
    text = _HARNESS.format(width=width, height=height, page=json.dumps(page.as_uri()), script=script)
    harness.write_text(text, encoding="utf-8")
    words = ["--headless=new", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--hide-scrollbars"]
    words += [f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=30000", "--disable-dev-shm-usage"]
    # Whatever a page asks of the network fails.
    words += ["--host-resolver-rules=MAP * ~NOTFOUND", f"--window-size={width},{height}"]
    words += [f"--screenshot={picture}"] if picture is not None else ["--dump-dom"]
    done = subprocess.run([program, *words, harness.as_uri()], capture_output=True, text=True, timeout=90)
    if picture is not None:
        return None
    out = re.search(r'<pre id="out">(.*?)</pre>', done.stdout, re.DOTALL)
    assert out, done.stderr[-2000:]
    found = json.loads(html.unescape(out[1]))
    assert found["errors"] == [], found
    return found.get("found")
