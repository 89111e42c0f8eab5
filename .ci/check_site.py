"""Does the built documentation read well? Links and anchors resolve, nothing runs out of its box at two widths.

    python .ci/check_site.py site [--verbose]

Needs no package. What a browser has to say (equations, widths, errors of scripts) is asked of headless Chromium; where
there is none, that part is left out, and the last line says so.
"""

from __future__ import annotations

import argparse
import functools
import html.parser
import http.server
import json
import pathlib
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.parse

WIDTHS = (1280, 390)
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


class Page(html.parser.HTMLParser):
    """The ids of a page and where it links to."""

    def __init__(self, path: pathlib.Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note ids, names and addresses."""
        given = dict(attrs)
        self.ids |= {value for value in (given.get("id"), given.get("name") if tag == "a" else None) if value}
        self.links += [value for key in ("href", "src") if (value := given.get(key))]


def broken_links(site: pathlib.Path) -> list[str]:
    """Links between pages that lead nowhere; those that leave the site are not followed."""
    pages = {path: Page(path) for path in sorted(site.rglob("*.html")) if path.name != "404.html"}
    wrong = []
    for path, page in pages.items():
        for link in sorted(set(page.links)):
            parts = urllib.parse.urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = path if not parts.path else (path.parent / urllib.parse.unquote(parts.path)).resolve()
            target = target / "index.html" if target.is_dir() else target
            anchor = urllib.parse.unquote(parts.fragment)
            if not target.exists() or (anchor and target in pages and anchor not in pages[target].ids):
                wrong.append(f"{path.relative_to(site)}: {link} leads nowhere")
    return wrong


PROBE = """<!doctype html><title>probe</title><body><script>
const pages = %s, widths = %s, seen = [];
function note(page, width, what, element) {
  const text = element ? element.textContent.trim().replace(/\\s+/g, " ").slice(0, 70) : "";
  seen.push({page, width, what, text});
}
async function look(page, width) {
  const frame = document.createElement("iframe");
  frame.style.cssText = `width:${width}px;height:900px;border:0`;
  document.body.append(frame);
  await new Promise(done => { frame.onload = done; frame.src = page; });
  await new Promise(done => setTimeout(done, 60));
  const doc = frame.contentDocument;
  if (doc.documentElement.scrollWidth > width) note(page, width, "the page is wider than the window", null);
  for (const box of doc.querySelectorAll("article pre code, article pre")) {
    if (box.scrollWidth > box.clientWidth + 1) note(page, width, "code runs out of its box", box);
  }
  for (const box of doc.querySelectorAll("article table")) {
    if (box.getBoundingClientRect().width > doc.querySelector("article").clientWidth + 1)
      note(page, width, "table runs out of its box", box);
  }
  for (const box of doc.querySelectorAll("article :is(img, svg, h1, h2, h3, p, li)")) {
    const edges = box.getBoundingClientRect();
    if (edges.right > width + 1) note(page, width, "reaches beyond the window", box);
  }
  for (const number of doc.querySelectorAll("a.equation")) {
    const edges = number.getBoundingClientRect();
    const seen = edges.width > 0 && edges.left >= 0 && edges.right <= width;
    if (!seen) note(page, width, "equation number out of sight", number);
  }
  const links = [...doc.querySelectorAll("a.to-equation")].map(link => link.href);
  const anchors = [...doc.querySelectorAll("a.equation")].map(number => number.id);
  frame.remove();
  return {page, links, anchors};
}
(async () => {
  const found = [];
  for (const width of widths) for (const page of pages) found.push(await look(page, width));
  await fetch("/seen", {method: "POST", body: JSON.stringify({seen, found})});
})();
</script>"""


def seen_by(browser: str, site: pathlib.Path) -> tuple[list[str], int]:
    """What a browser finds wrong, and how many equations it found."""
    pages = [f"/{path.parent.relative_to(site).as_posix()}/".replace("/./", "/") for path in site.rglob("index.html")]
    script = PROBE % (json.dumps(sorted(pages)), json.dumps(WIDTHS))

    answers: queue.Queue[dict] = queue.Queue()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/probe.html":
                return super().do_GET()
            return self.answer(script.encode())

        def do_POST(self) -> None:
            answers.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.answer(b"")

        def answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
                   "--no-first-run", f"--user-data-dir={profile}", "--enable-logging=stderr", "--window-size=1400,1000",
                   "--remote-debugging-port=0",
                   f"http://127.0.0.1:{server.server_port}/probe.html"]  # fmt: skip
        with open(f"{profile}/log", "w+", encoding="utf-8", errors="replace") as log:
            running = subprocess.Popen(command, stdout=log, stderr=log)
            try:
                answer = answers.get(timeout=600)
            except queue.Empty:
                return [f"{browser} did not finish"], 0
            finally:
                running.terminate()
                running.wait()
                server.shutdown()
            log.seek(0)
            console = [line for line in log if "CONSOLE" in line]
    wrong = [f"{one['page']} at {one['width']} px: {one['what']}: {one['text']}" for one in answer["seen"]]
    anchors = {(one["page"], anchor) for one in answer["found"] for anchor in one["anchors"]}
    for one in answer["found"]:
        for link in one["links"]:
            parts = urllib.parse.urlsplit(link)
            if (parts.path, parts.fragment) not in anchors:
                wrong.append(f"{one['page']}: {parts.path}#{parts.fragment} is no equation")
    wrong += [f"console: {line.strip()}" for line in console]
    return sorted(set(wrong)), len(anchors)


def main() -> int:
    """Print what is wrong, and say how much was looked at."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("site", type=pathlib.Path, help="the folder that zensical built")
    site = parser.parse_args().site.resolve()
    wrong, browser, equations = broken_links(site), next(filter(shutil.which, BROWSERS), None), 0
    if browser is not None:
        more, equations = seen_by(browser, site)
        wrong += more
    print(*wrong, sep="\n")
    looked = f"{equations} equations, widths of {' and '.join(map(str, WIDTHS))} px" if browser else "NO BROWSER HERE"
    print(f"{len(wrong)} faults of the site; {looked}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
