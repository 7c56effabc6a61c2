// Search over systems and languages, and buttons that copy commands. The index is a script, so it works from file:// too.
"use strict";
(() => {
  const root = document.body.dataset.root;
  const fold = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();

  // Whether two words differ by at most so many letters added, left out, replaced or swapped with a neighbour.
  function near(a, b, most) {
    if (Math.abs(a.length - b.length) > most) return false;
    let before = [], row = Array.from({ length: b.length + 1 }, (_, i) => i);
    for (let i = 1; i <= a.length; i++) {
      const next = [i];
      for (let j = 1; j <= b.length; j++) {
        next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] !== b[j - 1]));
        if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) next[j] = Math.min(next[j], before[j - 2] + 1);
      }
      before = row;
      row = next;
    }
    return row[b.length] <= most;
  }

  function search(query, entries) {
    const words = fold(query).split(/\s+/).filter(Boolean);
    if (!words.length) return [];
    const found = [];
    for (const entry of entries) {
      entry.folded ??= fold(entry.name);
      entry.all ??= `${entry.folded} ${fold(entry.about)}`;
      if (!words.every((word) => entry.all.includes(word))) continue;
      const name = entry.folded;
      found.push([name === words.join(" ") ? 0 : name.startsWith(words[0]) ? 1 : name.includes(words[0]) ? 2 : 3, entry]);
    }
    if (!found.length) {
      const words = fold(query).split(/[^\p{L}\p{N}]+/u).filter(Boolean);
      for (const entry of entries) {
        const parts = entry.folded.split(/[^\p{L}\p{N}]+/u);
        if (words.every((word) => entry.all.includes(word) || (word.length > 3 && parts.some((part) => near(word, part, word.length > 6 ? 2 : 1))))) found.push([4, entry]);
      }
    }
    return found.sort((a, b) => a[0] - b[0]).slice(0, 12).map((pair) => pair[1]);
  }

  function prepare() {
    const form = document.querySelector(".search");
    if (!form) return;
    let entries = [];
    const fetchIndex = () => {                                          // the index is loaded when somebody searches
      if (fetchIndex.asked) return;
      fetchIndex.asked = true;
      const script = document.createElement("script");
      script.src = `${root}search-index.js`;
      script.onload = () => { entries = window.mdrbenchIndex ?? []; if (field.value) show(); };
      document.head.append(script);
    };
    const field = form.querySelector("input"), list = form.querySelector("ul");
    let chosen = -1;
    form.hidden = false;

    const close = () => { list.hidden = true; field.setAttribute("aria-expanded", "false"); field.removeAttribute("aria-activedescendant"); chosen = -1; };
    const choose = (index) => {
      const items = list.querySelectorAll("[role=option][data-path]");
      if (!items.length) return;
      chosen = (index + items.length) % items.length;
      items.forEach((item, i) => item.setAttribute("aria-selected", String(i === chosen)));
      items[chosen].scrollIntoView({ block: "nearest" });
      field.setAttribute("aria-activedescendant", items[chosen].id);
    };
    const go = (item) => { window.location.href = root + item.dataset.path; };

    const show = () => {
      const found = search(field.value, entries);
      list.replaceChildren(...found.map((entry, i) => {
        const item = document.createElement("li"), about = document.createElement("small");
        item.id = `found-${i}`;
        item.dataset.path = entry.path;
        item.setAttribute("role", "option");
        item.setAttribute("aria-selected", "false");
        item.append(entry.name);
        about.textContent = entry.about;
        item.append(about);
        item.addEventListener("mousedown", (event) => { event.preventDefault(); go(item); });
        return item;
      }));
      if (!found.length && entries.length && field.value.trim()) {
        const none = document.createElement("li");
        none.setAttribute("role", "option");
        none.setAttribute("aria-disabled", "true");
        none.textContent = "Nothing of that name";
        list.append(none);
      }
      chosen = -1;
      list.hidden = !list.childElementCount;
      field.setAttribute("aria-expanded", String(!list.hidden));
      field.removeAttribute("aria-activedescendant");
    };

    field.addEventListener("input", show);
    field.addEventListener("focus", () => { fetchIndex(); if (field.value) show(); });
    field.addEventListener("blur", close);
    field.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown") { event.preventDefault(); choose(chosen + 1); }
      else if (event.key === "ArrowUp") { event.preventDefault(); choose(chosen - 1); }
      else if (event.key === "Escape") { close(); }
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const items = list.querySelectorAll("[data-path]");
      if (items.length && !list.hidden) go(items[Math.max(chosen, 0)]);
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "/" && !event.target.closest("input, select, textarea, [contenteditable]")) { event.preventDefault(); field.focus(); }
    });
  }

  function offerCopies() {
    for (const block of document.querySelectorAll("[data-copy]")) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "Copy";
      button.addEventListener("click", async () => {
        const text = block.querySelector("code").textContent;
        try { await navigator.clipboard.writeText(text); button.textContent = "Copied"; }
        catch { getSelection().selectAllChildren(block.querySelector("code")); button.textContent = "Press Ctrl+C"; }
        setTimeout(() => { button.textContent = "Copy"; }, 2000);
      });
      block.append(button);
    }
  }

  prepare();
  offerCopies();
})();
