"""Pages in a real browser: no error, no request to elsewhere, and nothing that axe-core objects to.

Skipped where chromium or axe-core is not there; `npm install axe-core` in the project, or AXE_CORE naming `axe.min.js`, brings it.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("vl_convert")
from starlette.testclient import TestClient

from llm_logging.web import view_app
from llm_logging.web.report.page import report_bytes
from llm_logging.web.report.pages import style_sheet
from tests.programs import PROJECT

pytestmark = pytest.mark.browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
AXE = Path(os.environ.get("AXE_CORE", PROJECT / "node_modules" / "axe-core" / "axe.min.js"))
_RUN = """
<script>
const found = [];
window.addEventListener("error", (event) => found.push("error: " + event.message));
document.addEventListener("securitypolicyviolation", (event) => found.push("policy: " + event.violatedDirective));
window.addEventListener("load", async () => {
  const done = await axe.run(document, { resultTypes: ["violations"] });
  for (const one of done.violations) found.push(one.id + ": " + one.nodes.map((node) => node.html.slice(0, 200)).join(" | "));
  for (const one of performance.getEntriesByType("resource")) found.push("loaded: " + one.name);
  if (document.documentElement.scrollWidth > window.innerWidth + 1) found.push("wider than the window");
  const out = document.createElement("pre");
  out.id = "found";
  out.textContent = JSON.stringify(found);
  document.body.append(out);
});
</script>
"""


def looked_at(page: str, folder: Path, *, width: int, dark: bool = False) -> list[str]:
    """Open a page with axe-core in it; return what was found."""
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    page = page.replace('<link rel="stylesheet" href="/style.css">', f"<style>{style_sheet()}</style>")
    page = page.replace('<script src="/view.js" defer></script>', "")
    script = f"<script>{AXE.read_text('utf-8').replace('</script', '<!/script')}</script>{_RUN}"
    path = folder / "page.html"
    path.write_text(page.replace("</head>", f"{script}</head>", 1), encoding="utf-8")
    done = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={folder / 'profile'}", f"--window-size={width},900", "--virtual-time-budget=20000",
            *(["--blink-settings=preferredColorScheme=0"] if dark else []), "--dump-dom", f"file://{path}",
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    (found,) = re.findall(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    return json.loads(html.unescape(found))


needs_browser = pytest.mark.skipif(
    CHROMIUM is None or not AXE.is_file(), reason="chromium or axe-core is not here"
)


@needs_browser
@pytest.mark.parametrize(("width", "dark"), [(1100, False), (500, True)])
def test_the_report_is_accessible_and_loads_nothing(width, dark, logged, tmp_path):
    page = report_bytes(None, {"group_by": "project,model"}, root=logged, content=True).decode()
    assert looked_at(page, tmp_path, width=width, dark=dark) == []


@needs_browser
@pytest.mark.parametrize(
    "path", ["/?by=day", "/requests", "/request?id=00000000-0000-001c-8000-000000004000", "/chats"]
)
def test_pages_of_the_view_are_accessible(path, logged, tmp_path):
    client = TestClient(view_app(logged, token="t"), base_url="http://localhost")
    client.get("/?token=t")
    assert looked_at(client.get(path).text, tmp_path, width=500, dark=True) == []


@needs_browser
def test_hostile_names_run_nothing_and_widen_no_page(hostile, tmp_path):
    page = report_bytes(None, {"group_by": "user"}, root=hostile, content=True).decode()
    assert looked_at(page, tmp_path, width=500) == []
