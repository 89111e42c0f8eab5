// Numbers of equations, (recurrent.4), become anchors where they stand at the end of a line of a plain block on their own
// page, and links to there everywhere else. The pages stay plain text: this adds addresses, and wraps narrow lines.
// A table that is wider than the window becomes one card per row.
(function () {
  "use strict";
  const article = document.querySelector("article");
  if (!article) return;

  const tables = article.querySelectorAll("table:not([class])");
  for (const table of tables) {
    const heads = [...table.querySelectorAll("thead th")].map(head => head.textContent.trim());
    for (const row of table.querySelectorAll("tbody tr")) {
      [...row.cells].forEach((cell, column) => { cell.dataset.head = heads[column] || ""; });
    }
  }
  function fit() {
    for (const table of tables) {
      table.classList.remove("cards");
      if (table.getBoundingClientRect().width > article.clientWidth + 1) table.classList.add("cards");
    }
  }
  fit();
  addEventListener("resize", fit);
  addEventListener("load", fit);

  // pages of theory by the word in front of their numbers: "finite-width" and "state_space" are finite_width, state_space
  const pages = {};
  for (const link of document.querySelectorAll(".md-nav a[href]")) {
    const found = new URL(link.href).pathname.match(/\/theory\/([^/]+)\/(?:index\.html)?$/);
    if (found) pages[found[1].replace(/-/g, "_")] = link.href.split("#")[0];
  }
  const here = (location.pathname.match(/\/theory\/([^/]+)\/(?:index\.html)?$/) || ["", ""])[1].replace(/-/g, "_");
  if (here) pages[here] = "";
  const names = Object.keys(pages);
  if (!names.length) return;
  const word = "(" + names.join("|") + ")\\.(\\d+)";

  function link(page, number, text, anchor) {
    const made = document.createElement("a");
    made.textContent = text;
    made.href = pages[page] + "#" + page + "-" + number;
    made.className = anchor ? "equation" : "to-equation";
    if (anchor) made.id = page + "-" + number;
    return made;
  }

  // blocks: one element per line, so that a narrow line hangs under itself and its number stays in sight
  const last = new RegExp("^(.*?)\\s*(\\(" + word + "\\))\\s*$");
  for (const code of article.querySelectorAll("pre > code")) {
    const lines = code.textContent.replace(/\n$/, "").split("\n");
    if (!lines.some(line => last.test(line))) continue;
    const box = document.createElement("code");
    for (const line of lines) {
      const found = line.match(last), text = found ? found[1] : line;
      const inner = document.createElement("span");
      inner.className = "formula";
      inner.style.setProperty("--indent", (text.match(/^ */)[0].length + 2) + "ch");
      inner.textContent = text;
      let row = box.lastElementChild;
      if (!found || text || !row || row.querySelector("a")) {
        row = document.createElement("span");
        row.className = "row";
        row.append(inner);
        box.append(row);
      }
      if (found) row.append(link(found[3], found[4], found[2], found[3] === here));
      box.append("\n");
    }
    box.className = "equations";
    code.replaceWith(box);
  }

  // text: "(recurrent.4)" as a whole, or the bare word
  const cited = new RegExp("\\(" + word + "\\)|(?<![\\w./])" + word + "(?!\\w|\\.\\w)", "g");
  const walk = document.createTreeWalker(article, NodeFilter.SHOW_TEXT, {
    acceptNode: node => node.parentElement.closest("a, code, pre, script, style, h1, h2, h3, h4, h5, h6")
      ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT,
  });
  const nodes = [];
  while (walk.nextNode()) nodes.push(walk.currentNode);
  for (const node of nodes) {
    const text = node.data, parts = [];
    let end = 0;
    for (const found of text.matchAll(cited)) {
      const page = found[1] || found[3], number = found[2] || found[4];
      const first = page === here && !document.getElementById(page + "-" + number); // it stands in no block
      parts.push(text.slice(end, found.index), link(page, number, found[0], first));
      if (first) article.append(parts[parts.length - 1]); // so that it is known; it moves to its place below
      end = found.index + found[0].length;
    }
    if (parts.length) node.replaceWith(...parts, text.slice(end));
  }

  // the address may name an anchor that was not there when the browser looked for it
  const wanted = location.hash && document.getElementById(location.hash.slice(1));
  if (wanted && wanted.classList.contains("equation")) {
    wanted.scrollIntoView();
    wanted.classList.add("wanted");
  }
})();
