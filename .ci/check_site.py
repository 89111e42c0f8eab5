"""Does the built documentation read well? Links and anchors resolve, nothing runs out of its box at two widths.

    python .ci/check_site.py site

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
SEARCHED = {
    "sklearn": "/scikit-learn/",
    "GPU": "/howto/gpu/",
    "flax": "/empirical/",
    "ragged": "/howto/ragged/",
    "float64": "/howto/precision/",
}
"""Words that people look for, and the page that has to be among the first three which the search offers."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


class Page(html.parser.HTMLParser):
    """The ids of a page and where it links to."""

    def __init__(self, path: pathlib.Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.parts: set[str] = set()
        """What the page itself is made of: it opens without a network."""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note ids, names and addresses."""
        given = dict(attrs)
        self.ids |= {value for value in (given.get("id"), given.get("name") if tag == "a" else None) if value}
        here = [value for key in ("href", "src") if (value := given.get(key))]
        self.links += here
        if tag in ("img", "script", "link", "iframe"):
            self.parts |= set(here)


def broken_links(site: pathlib.Path) -> list[str]:
    """Links between pages that lead nowhere; those that leave the site are not followed."""
    pages = {path: Page(path) for path in sorted(site.rglob("*.html")) if path.name != "404.html"}
    wrong = []
    for path, page in pages.items():
        for link in sorted(set(page.links)):
            parts = urllib.parse.urlsplit(link)
            if parts.scheme or parts.netloc:
                if link in page.parts:
                    wrong.append(f"{path.relative_to(site)}: {link} has to be fetched from elsewhere")
                continue
            target = path if not parts.path else (path.parent / urllib.parse.unquote(parts.path)).resolve()
            target = target / "index.html" if target.is_dir() else target
            anchor = urllib.parse.unquote(parts.fragment)
            if not target.exists() or (anchor and target in pages and anchor not in pages[target].ids):
                wrong.append(f"{path.relative_to(site)}: {link} leads nowhere")
    return wrong


PROBE = """<!doctype html><title>probe</title><body><script>
const pages = %s, widths = %s, words = %s, seen = [];
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
// the first addresses that the search of the site offers for a word; its field lies in a shadow of the page
async function search(word) {
  const frame = document.createElement("iframe");
  frame.style.cssText = "width:1280px;height:900px;border:0";
  document.body.append(frame);
  await new Promise(done => { frame.onload = done; frame.src = "/"; });
  const view = frame.contentWindow, doc = frame.contentDocument;
  const inside = () => [...doc.querySelectorAll("*")].map(one => one.shadowRoot).filter(Boolean);
  let offered = [];
  for (let wait = 0; wait < 50 && !offered.length; wait++) {
    const field = inside().map(root => root.querySelector("input[role=combobox]")).find(Boolean);
    if (!field) doc.querySelector(".md-header__button[for=__search], .md-search__button").click();
    else if (field.value !== word) {
      Object.getOwnPropertyDescriptor(view.HTMLInputElement.prototype, "value").set.call(field, word);
      field.dispatchEvent(new view.InputEvent("input", {bubbles: true, composed: true}));
    }
    await new Promise(done => setTimeout(done, 200));
    offered = field ? inside().flatMap(root => [...root.querySelectorAll("a[href]")]) : [];
  }
  const paths = offered.map(link => new URL(link.href).pathname);
  frame.remove();
  return paths.slice(0, 3);
}
(async () => {
  const found = [], offered = {};
  for (const width of widths) for (const page of pages) found.push(await look(page, width));
  for (const word of words) offered[word] = await search(word);
  await fetch("/seen", {method: "POST", body: JSON.stringify({seen, found, offered})});
})();
</script>"""


def asked(browser: str, site: pathlib.Path, script: str) -> tuple[dict, list[str]]:
    """What the script answers in a page served beside the site, and what pages wrote to the console."""
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
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
        open(f"{profile}/log", "w+", encoding="utf-8", errors="replace") as log,
    ):
        switches = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
                    "--enable-logging=stderr", "--remote-debugging-port=0", "--window-size=1400,1000"]  # fmt: skip
        address = f"http://127.0.0.1:{server.server_port}/probe.html"
        running = subprocess.Popen([browser, *switches, f"--user-data-dir={profile}", address], stdout=log, stderr=log)
        try:
            answer = answers.get(timeout=600)
        except queue.Empty:
            sys.exit(f"{browser} did not answer within ten minutes")
        finally:
            running.terminate()
            running.wait()
            server.shutdown()
        log.seek(0)
        return answer, [line.strip() for line in log if "CONSOLE" in line]


def seen_by(browser: str, site: pathlib.Path) -> tuple[list[str], int]:
    """What a browser finds wrong, and how many equations it found."""
    pages = [f"/{path.parent.relative_to(site).as_posix()}/".replace("/./", "/") for path in site.rglob("index.html")]
    answer, console = asked(browser, site, PROBE % tuple(map(json.dumps, (sorted(pages), WIDTHS, list(SEARCHED)))))
    wrong = [f"{one['page']} at {one['width']} px: {one['what']}: {one['text']}" for one in answer["seen"]]
    anchors = {(one["page"], anchor) for one in answer["found"] for anchor in one["anchors"]}
    for one in answer["found"]:
        for link in one["links"]:
            parts = urllib.parse.urlsplit(link)
            if (parts.path, parts.fragment) not in anchors:
                wrong.append(f"{one['page']}: {parts.path}#{parts.fragment} is no equation")
    for word, paths in answer["offered"].items():
        if SEARCHED[word] not in paths:
            wrong.append(f"a search for {word!r} offers {paths}, not {SEARCHED[word]}")
    return sorted(set(wrong)) + [f"console: {line}" for line in console], len(anchors)


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
