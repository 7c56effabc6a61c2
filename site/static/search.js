// Search over systems and languages, and buttons that copy commands. The index is a script, so it works from file:// too.
"use strict";
(() => {
  const root = document.body.dataset.root;
  const fold = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();

  function search(query, entries) {
    const words = fold(query).split(/\s+/).filter(Boolean);
    if (!words.length) return [];
    const found = [];
    for (const entry of entries) {
      const name = fold(entry.name), all = `${name} ${fold(entry.about)}`;
      if (!words.every((word) => all.includes(word))) continue;
      const score = name === words.join(" ") ? 0 : name.startsWith(words[0]) ? 1 : name.includes(words[0]) ? 2 : 3;
      found.push([score, entry]);
    }
    return found.sort((a, b) => a[0] - b[0]).slice(0, 12).map((pair) => pair[1]);
  }

  function prepare() {
    const form = document.querySelector(".search"), entries = window.mdrbenchIndex;
    if (!form || !entries) return;
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
      if (!found.length && field.value.trim()) {
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
    field.addEventListener("focus", () => { if (field.value) show(); });
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
