// The start page: answers questions about a collection from its board.js. The question lives in the address.
"use strict";
(() => {
  const form = document.getElementById("ask"), place = document.getElementById("answer");
  if (!form) return;
  const fields = ["lang", "on", "size", "licence", "training", "kind", "measured"];
  const first = place.innerHTML;
  const boards = new Map();
  let loading = null;
  globalThis.mdrbenchBoard = (board) => boards.set(board.folder, board);
  const load = (folder) => boards.has(folder) ? Promise.resolve(boards.get(folder)) : new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = `${folder}board.js`;
    script.onload = () => done(boards.get(folder));
    script.onerror = () => failed(new Error(folder));
    document.head.append(script);
  });

  const make = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };
  const score = (board, row, at) => (row.v[at] / board.steps).toFixed(3);
  const system = (row) => make("a", { href: row.a }, make("b", {}, row.n));
  const words = { trained: "trained on MIRACL", "declared not": "not trained on MIRACL, as declared", unknown: "training data not stated" };

  function question() {
    const asked = Object.fromEntries(fields.map((name) => [name, form.elements[name].type === "checkbox" ? (form.elements[name].checked ? "1" : "") : form.elements[name].value]));
    return asked;
  }

  function matching(board, asked, at) {
    return board.rows.filter((row) => row.v[at] > 0 && row.g !== "predicted"
      && (!asked.size || (row.p ?? Infinity) <= Number(asked.size)) && (!asked.licence || row.l === asked.licence)
      && (!asked.training || row.t === asked.training) && (!asked.kind || row.k === asked.kind || (asked.kind === "single vector" && row.g === "measured"))
      && (!asked.measured || row.g === "measured")).sort((a, b) => b.v[at] - a.v[at]);
  }

  function show(board, asked) {
    const at = board.codes.indexOf(asked.lang), where = asked.lang === "average" ? "On average" : `In ${board.names[asked.lang]?.[0] ?? asked.lang}`;
    const label = asked.lang === "average" ? `, ${Object.values(board.averages)[0] ?? ""}` : "";
    const found = at < 0 ? [] : matching(board, asked, at);
    const limits = [asked.size && form.elements.size.selectedOptions[0].textContent, asked.licence && `licence ${form.elements.licence.selectedOptions[0].textContent}`,
      asked.training && form.elements.training.selectedOptions[0].textContent, asked.kind, asked.measured && "measured by mdrbench"].filter(Boolean).join(", ");
    if (!found.length) {
      place.replaceChildren(make("p", { class: "answer" }, `${where}, no system on ${board.title} has these properties (${limits || "any"}).`));
      return;
    }
    const answer = make("p", { class: "answer" }, make("strong", {}, where), ": ");
    found.slice(0, 3).forEach((row, i) => answer.append(i ? ", " : "", system(row), ` ${score(board, row, at)}`));
    if (!asked.size && !asked.licence) {
      const small = found.find((row) => row.p > 0 && row.p <= 300 && row.l === "free");
      if (small) answer.append("; among models under 300 M with a free licence: ", system(small), ` ${score(board, small, at)}`);
    }
    answer.append(".");
    const marked = found.slice(0, 2).map((row) => row.e?.[at] ?? ""), letters = marked.map((text) => text.replace("†", ""));
    const tested = found.length > 1 && letters.every(Boolean);
    const real = tested && !letters[0].includes("–") && ![...letters[0]].some((letter) => letters[1].includes(letter));
    const alone = marked.some((text) => text.endsWith("†")) ? " in topics alone: too few seeds were trained" : "";
    const verdict = found.length < 2 ? "" : tested ? (real ? ` The first is significantly better than the second${alone}.` : " The first is not significantly better than the second.")
      : ` The margin of ${((found[0].v[at] - found[1].v[at]) / board.steps).toFixed(3)} cannot be tested: published figures come without topic-level scores.`;
    const about = make("p", { class: "quiet" }, `${board.measure} on ${board.title}${label}${limits ? `; ${limits}` : ""}.${verdict}`);
    const table = make("table", { class: "stuck" }, make("caption", { class: "unseen" }, `The best systems: ${where}`),
      make("thead", {}, make("tr", {}, ...["#", "System", board.measure, "Parameters", "Licence", "Training data"].map((head, i) => make("th", { scope: "col", ...(i === 1 || i > 3 ? { class: "left" } : {}) }, head)))),
      make("tbody", {}, ...found.slice(0, 10).map((row) => {
        const rank = 1 + found.filter((other) => Math.round(other.v[at] / 10) > Math.round(row.v[at] / 10)).length;
        return make("tr", {}, make("td", {}, String(rank)), make("th", { scope: "row", class: "left" }, system(row), " ", make("span", { class: "org" }, row.o ?? "")),
          make("td", {}, score(board, row, at), " ", make("small", { class: "letters" }, row.e?.[at] ?? "")),
          make("td", {}, row.p ? (row.p >= 1000 ? `${(row.p / 1000).toPrecision(3)}B` : `${Math.round(row.p)}M`) : "–"), make("td", { class: "left" }, row.L ?? "–"), make("td", { class: "left" }, words[row.t]));
      })));
    const several = `${board.folder}compare/several.html#s=${found.slice(0, 4).map((row) => row.s).join(",")}`;
    const links = make("p", {}, make("a", { href: `${board.folder}index.html${asked.lang === "average" ? "" : `#sort=${asked.lang}`}` }, `All systems on ${board.title}`), " · ",
      ...(asked.lang === "average" ? [] : [make("a", { href: `${board.folder}languages/${asked.lang}.html` }, `More about ${board.names[asked.lang]?.[0] ?? asked.lang}`), " · "]),
      ...(board.several && found.length > 1 ? [make("a", { href: several }, `Compare the first ${Math.min(4, found.length)}`)] : []));
    place.replaceChildren(answer, about, make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "The best systems" }, table), links);
  }

  async function apply(remember) {
    const asked = question(), mine = (loading = {});
    if (remember) {
      const parts = new URLSearchParams();
      for (const name of fields) if (asked[name] !== defaults[name]) parts.set(name, asked[name] || "any");
      history.replaceState(null, "", parts.toString() ? `#${parts}` : window.location.pathname + window.location.search);
    }
    try {
      const board = await load(asked.on);
      if (mine === loading) show(board, asked);
    } catch { place.innerHTML = first; }
  }

  function read() {
    const hash = window.location.hash.slice(1);
    if (hash && !hash.includes("=")) return false;
    const parts = new URLSearchParams(hash), wrong = [...parts.keys()].filter((name) => !fields.includes(name));
    for (const name of fields) {
      const field = form.elements[name], value = parts.get(name) ?? defaults[name];
      if (field.type === "checkbox") { field.checked = value === "1"; continue; }
      field.value = value === "any" ? "" : value;
      if (field.selectedIndex < 0) { wrong.push(`${name} “${value}”`); field.value = defaults[name]; }
    }
    const said = document.querySelector(".broken");
    said?.remove();
    if (wrong.length) form.after(make("p", { class: "state broken", role: "status" }, `This page does not know ${wrong.join(", ")}: that part of the address is left out.`));
    return true;
  }

  const defaults = question();
  form.hidden = false;
  form.addEventListener("input", () => { document.querySelector(".broken")?.remove(); apply(true); });
  form.addEventListener("submit", (event) => event.preventDefault());
  for (const link of document.querySelectorAll(".strip-of-languages a")) link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    form.elements.lang.value = link.dataset.lang;
    form.elements.on.selectedIndex = 0;
    apply(true);
    form.scrollIntoView({ block: "start" });
  });
  window.addEventListener("hashchange", () => { if (read()) apply(false); });
  read();
  apply(false);
})();
