// Leaderboards: sort, filter, keep the view in the address, and save it as a file. The page works without this script.
"use strict";
(() => {
  const table = document.querySelector("table.ranking");
  if (!table) return;
  const form = document.querySelector(".filters"), state = document.querySelector(".state");
  const heads = [...table.tHead.rows[0].cells];
  const column = new Map(heads.map((head, i) => [head.dataset.key, i]));
  const first = column.get("average") + 1;                            // languages follow the average
  const codes = heads.slice(first).map((head) => head.dataset.key);
  const average = heads[first - 1];
  const what = average.querySelector(".what");
  const whole = what.textContent, over = average.querySelector("small").textContent;
  const HEAT = [0.0005, 0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2];
  const MOST = 60, PART = 24;                                         // rows shown at first, and rows added at a time
  const groups = [...table.tBodies].map((body) => ({ body, kind: body.dataset.kind, head: body.rows[0], rows: [...body.rows].slice(1), view: [] }));
  const rows = groups.flatMap((group) => group.rows);
  const facts = new Map(rows.map((row) => {
    const cells = [...row.cells], values = new Map(), filled = new Set();
    for (const [key, i] of column) {
      const v = cells[i].dataset.v;
      values.set(key, v === undefined ? null : Number.isNaN(Number(v)) ? v : Number(v));
      if (!cells[i].classList.contains("none")) filled.add(key);
    }
    const cell = cells[first - 1], variant = row.classList.contains("variant");
    row.hidden = false;                                               // what is not in the view is not in the table
    return [row, { cells, values, filled, variant, name: cells[0].querySelector("a").textContent.trim(), text: cells[0].textContent.toLowerCase(),
      printed: { nodes: [...cell.childNodes], of: cell.className, v: values.get("average") }, mean: undefined }];
  }));
  const switches = [...document.querySelectorAll(".switches input")];
  const initial = new Map(switches.map((box) => [box, box.defaultChecked]));
  const boxes = [...form.querySelectorAll("[name=lang]")];
  const selects = [...form.querySelectorAll("select")];
  const ofRows = selects.filter((s) => !["script", "resources"].includes(s.name));
  const ofColumns = selects.filter((s) => ["script", "resources"].includes(s.name));
  const averaged = new Set(table.dataset.averaged.split(","));          // languages of the widest average
  const ticks = [...table.querySelectorAll(".tick")];
  const board = document.querySelector(".board"), compare = document.querySelector(".compare"), more = document.querySelector(".more");
  const alphabet = new Intl.Collator("en");
  let sort = null;                                                    // { key, up }, or null for the order of the page
  let everything = false, changed = false, wrong = [], turn = 0;

  const value = (row, key) => facts.get(row).values.get(key);
  const on = (id) => switches.some((box) => box.id === `show-${id}` && box.checked);

  // -- view -------------------------------------------------------------------------------------------------------------
  function shownCodes() {
    return codes.filter((code, i) => boxes[i].checked && ofColumns.every((s) => !s.value || heads[i + first].dataset[s.name] === s.value));
  }

  function matches(row, group, words, shown) {
    const { variant, filled, text } = facts.get(row);
    if (variant && !on("variants")) return false;
    if (group.kind === "predicted" && !on("predicted") && form.elements.origin?.value !== "predicted") return false;
    if (shown.length < codes.length && !shown.some((code) => filled.has(code))) return false;
    if (!words.every((word) => text.includes(word))) return false;
    return ofRows.every((s) => !s.value || (s.name === "size" ? Number(row.dataset.size ?? Infinity) <= Number(s.value) : row.dataset[s.name] === s.value));
  }

  // With languages hidden, the averages are those of the shown that the printed average covers.
  function averages(shown) {
    const within = shown.filter((code) => averaged.has(code)), meant = within.length ? within : shown;
    const partial = shown.length < codes.length && shown.length > 0;
    what.textContent = partial ? "Mean" : whole;
    average.querySelector("small").textContent = partial ? `of ${meant.length} shown` : over;
    for (const { values, printed } of facts.values()) {
      const parts = partial ? meant.map((code) => values.get(code)) : [];
      values.set("average", !partial ? printed.v : parts.includes(null) ? null : parts.reduce((a, b) => a + b, 0) / parts.length);
    }
    return partial;
  }

  function order(list) {
    if (!sort) return list;
    const direction = sort.up ? 1 : -1;
    return list.sort((a, b) => {
      if (sort.key === "system") return direction * alphabet.compare(facts.get(a).name, facts.get(b).name);
      const x = value(a, sort.key), y = value(b, sort.key);
      if (x === null || y === null) return (x === null) - (y === null);           // rows without a score stay at the end
      return direction * (typeof x === "string" ? alphabet.compare(x, y) : x - y);
    });
  }

  // -- cells: written when their row enters the table ---------------------------------------------------------------------
  const rounded = (group, v) => (group.kind === "measured" ? v : Math.round(v * 1000) / 1000);    // published: three decimals

  function writeAverage(row, partial) {
    const own = facts.get(row), cell = own.cells[first - 1], mean = partial ? own.values.get("average") : undefined;
    if (own.mean === mean) return;
    own.mean = mean;
    cell.className = mean === undefined ? own.printed.of : mean === null ? "average none" : "average";
    const shown = mean ?? own.printed.v;
    if (mean === null || shown === null) delete cell.dataset.v;
    else cell.dataset.v = mean === undefined ? shown : mean.toFixed(6);
    if (mean === undefined) { cell.replaceChildren(...own.printed.nodes); return; }
    const small = document.createElement("small"), rank = document.createElement("i");
    rank.className = "rank";
    small.append(rank);
    cell.replaceChildren(...(mean === null ? ["–"] : [mean.toFixed(3), small]));
  }

  // Ranks and colours are those among the rows of the view.
  function writeRanks(row, group, ordered) {
    const { cells, values, variant } = facts.get(row);
    if (variant) return;
    for (const [key, scores] of ordered) {
      const known = values.get(key);
      if (known === null) continue;
      const cell = cells[column.get(key)], v = rounded(group, known), place = scores.indexOf(v) + 1;
      const shown = cell.querySelector(".rank"), heat = 9 - HEAT.filter((limit) => scores[0] - v > limit).length;
      if (shown && shown.textContent !== String(place)) shown.textContent = place;
      if (!cell.classList.contains(`h${heat}`)) cell.className = cell.className.replace(/\bh\d\b/, "").trim() + ` h${heat}`;
      if (!cell.querySelector(".letters")) cell.classList.toggle("top", place === 1);
    }
  }

  // Rows that are not shown stay outside the document, where they cost neither style nor layout. The first rows enter at
  // once, the others a part at a time, so that the page answers within a frame.
  function fill(settle, part = PART, at = 0, mine = ++turn) {
    if (mine !== turn) return;                                        // another view has come meanwhile
    const most = everything ? Infinity : MOST;
    let skip = at, left = Math.min(part, most - at);
    for (const group of groups) {
      const entering = group.view.slice(skip, skip + left);
      skip = Math.max(0, skip - group.view.length);
      left -= entering.length;
      for (const row of entering) settle(row, group);
      if (at) group.body.append(...entering);
      else group.body.replaceChildren(group.head, ...entering);
      group.body.hidden = !group.view.length;
    }
    const incomplete = at + part < Math.min(most, groups.reduce((n, group) => n + group.view.length, 0));
    table.setAttribute("aria-busy", String(incomplete));
    if (incomplete) requestAnimationFrame(() => setTimeout(() => fill(settle, part, at + part, mine)));
  }

  function show() {
    board.dataset.show = switches.filter((box) => box.checked).map((box) => box.id.slice(5)).join(" ");
  }

  let styled = null, hiddenColumns = "";
  function apply(remember = true, part = PART) {
    const shown = shownCodes(), words = form.elements.q.value.toLowerCase().split(/\s+/).filter(Boolean);
    const partial = averages(shown);
    if (partial && !sort) sort = { key: "average", up: false, implied: true };
    else if (!partial && sort?.implied) sort = null;
    for (const group of groups) group.view = order(group.rows.filter((row) => matches(row, group, words, shown)));
    const count = groups.reduce((n, group) => n + group.view.length, 0);
    const present = groups.reduce((n, group) => n + (group.kind === "predicted" && !on("predicted") ? 0 : group.rows.filter((row) => !facts.get(row).variant).length), 0);
    const hidden = codes.map((code, i) => (shown.includes(code) ? 0 : i + first + 1)).filter(Boolean);
    const css = hidden.length ? `.ranking tr:not(.group) > :is(${hidden.map((n) => `:nth-child(${n})`).join(",")}){display:none}` : "";
    styled ??= document.head.appendChild(document.createElement("style"));
    if (css !== hiddenColumns) styled.textContent = hiddenColumns = css;
    const filtered = count !== present || hidden.length > 0;
    changed ||= filtered;
    const ordered = new Map(groups.map((group) => {
      const ranked = group.view.filter((row) => !facts.get(row).variant);
      return [group, !changed || group.kind === "predicted" ? [] : ["average", ...shown].map((key) =>
        [key, Float64Array.from(ranked.map((row) => value(row, key)).filter((v) => v !== null), (v) => rounded(group, v)).sort().reverse()])];
    }));
    fill((row, group) => { writeAverage(row, partial); writeRanks(row, group, ordered.get(group)); }, part);
    for (const head of heads) {
      if (sort && head.dataset.key === sort.key) head.setAttribute("aria-sort", sort.up ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    }
    show();
    more.hidden = everything || count <= MOST;
    more.firstElementChild.textContent = `Show all ${count} rows`;
    form.querySelector(".pick summary span").textContent = hidden.length ? `${shown.length} of ${codes.length}` : "all";
    const said = wrong.length ? [`This page has no ${wrong.join(", no ")}: that part of the address is left out.`] : [];
    if (!count) said.push("No system has all these properties.");
    else if (filtered) said.push(`${count} of ${present} rows, ${shown.length} of ${codes.length} languages. Ranks and colours are those among the rows shown; letters are those among all systems.`);
    state.hidden = !said.length;
    state.textContent = said.join(" ");
    const label = document.querySelector(".downloads span");
    label.textContent = filtered || sort ? label.dataset.view : label.dataset.whole;
    if (remember) write();
  }

  // -- compare ----------------------------------------------------------------------------------------------------------
  function ticked() {
    const picked = ticks.filter((box) => box.checked).map((box) => box.value), button = compare.querySelector("button");
    button.disabled = picked.length < 2 || picked.length > 6;
    compare.querySelector("span").textContent = picked.length ? `${picked.length} selected; two to six can be compared.` : "Tick two to six systems to compare them.";
    return picked;
  }

  // -- address ----------------------------------------------------------------------------------------------------------
  function write() {
    const parts = new URLSearchParams();
    if (sort && !sort.implied) parts.set("sort", sort.up ? `-${sort.key}` : sort.key);
    if (form.elements.q.value) parts.set("q", form.elements.q.value);
    for (const s of selects) if (s.value) parts.set(s.name, s.value);
    const picked = boxes.filter((box) => box.checked);
    if (picked.length < boxes.length) parts.set("langs", picked.map((box) => box.value).join(","));
    if (switches.some((box) => box.checked !== initial.get(box))) parts.set("show", switches.filter((box) => box.checked).map((box) => box.id.slice(5)).join(","));
    const text = parts.toString();
    if (`#${text}` !== (window.location.hash || "#")) history.replaceState(null, "", text ? `#${text}` : window.location.pathname + window.location.search);
    for (const link of document.querySelectorAll(".measures a")) link.href = link.getAttribute("href").split("#")[0] + (text ? `#${text}` : "");
  }

  // Returns whether the address holds a view; the address of a part of the page (#main) holds none.
  function read() {
    const hash = window.location.hash.slice(1);
    if (hash && !hash.includes("=")) return false;
    const parts = new URLSearchParams(hash);
    wrong = [...parts.keys()].filter((key) => !["sort", "q", "langs", "show"].includes(key) && !selects.some((s) => s.name === key)).map((key) => `filter “${key}”`);
    const wanted = parts.get("sort") ?? "";
    const key = wanted.replace(/^-/, "");
    sort = column.has(key) ? { key, up: wanted.startsWith("-") } : null;
    if (wanted && !sort) wrong.push(`column “${key}”`);
    form.elements.q.value = parts.get("q") ?? "";
    for (const s of selects) {
      s.value = parts.get(s.name) ?? "";
      if (s.selectedIndex < 0) { s.value = ""; wrong.push(`${s.name} “${parts.get(s.name)}”`); }
    }
    const langs = parts.has("langs") ? new Set(parts.get("langs").split(",")) : null;
    const known = langs && boxes.some((box) => langs.has(box.value));
    wrong.push(...[...(langs ?? [])].filter((code) => !codes.includes(code)).map((code) => `language “${code}”`));
    for (const box of boxes) box.checked = !known || langs.has(box.value);
    const show = parts.has("show") ? new Set(parts.get("show").split(",")) : null;
    for (const box of switches) box.checked = show ? show.has(box.id.slice(5)) : initial.get(box);
    return true;
  }

  // -- files ------------------------------------------------------------------------------------------------------------
  function view() {
    const shown = ["average", ...shownCodes()];
    const list = groups.flatMap((group) => group.view.map((row) => ({
      system: facts.get(row).name,
      group: group.head.querySelector("b").textContent,
      origin: row.dataset.origin,
      source: row.querySelector(".source")?.textContent ?? null,
      family: row.dataset.family,
      scores: Object.fromEntries(shown.map((key) => [key, value(row, key)]).filter(([, v]) => v !== null)),
      letters: Object.fromEntries(shown.map((key) => [key, row.cells[column.get(key)].querySelector(".letters")?.textContent ?? ""])),
    })));
    return { shown, head: `${what.textContent} (${average.querySelector("small").textContent})`, list };
  }

  const inert = (text) => (/^[=+\-@\t\r]/.test(text) ? `'${text}` : text);
  const quoted = (text) => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const latex = (text) => text.replace(/[\\~^&%$#_{}†]/g, (c) => ({ "†": "\\textdagger{}", "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}" })[c] ?? `\\${c}`).replace(/\s+/g, " ").replaceAll("–", "--").replace(/[^\u0000-\u017f]/gu, (c) => `U+${c.codePointAt(0).toString(16).toUpperCase()}`);
  const markdown = (text) => text.replace(/([\\`*_|<>[\]])/g, "\\$1").replace(/\s+/g, " ");

  function best(list, key, row) {
    const values = list.filter((other) => other.group === row.group).map((other) => other.scores[key] ?? -1);
    return row.scores[key] !== undefined && row.scores[key] === Math.max(...values);
  }

  const writers = {
    csv({ shown, list }) {
      const lines = [["system", "origin", "source", "family", ...shown]];
      for (const row of list) lines.push([...[row.system, row.origin, row.source ?? "", row.family].map(inert), ...shown.map((key) => row.scores[key] ?? "")]);
      return lines.map((line) => line.map((field) => quoted(String(field))).join(",")).join("\n") + "\n";
    },
    json({ shown, head, list }) {
      return JSON.stringify({ title: table.dataset.name, average: head, columns: shown, view: window.location.hash.slice(1), systems: list }, null, 1) + "\n";
    },
    tex({ shown, head, list }) {                                          // a few systems are columns, many are rows
      const title = `% ${table.dataset.name.replace(/\s+/g, " ")}; average: ${head.replace(/\s+/g, " ")}; needs \\usepackage{booktabs}`;
      const cell = (row, key) => {
        if (row.scores[key] === undefined) return "--";
        const text = row.scores[key].toFixed(3).replace(/^0/, ""), letters = row.letters[key];
        return (best(list, key, row) ? `\\textbf{${text}}` : text) + (letters ? `\\,\\textsuperscript{${latex(letters)}}` : "");
      };
      const line = (cells) => `${cells.join(" & ")} \\\\`;
      if (list.length <= 8) {
        const rotated = list.reduce((n, row) => n + Math.max(row.system.length, 8), 0) > 64;
        return [title + (rotated ? " and \\usepackage{graphicx}" : ""), "{\\small\\setlength{\\tabcolsep}{2pt}%", `\\begin{tabular}{@{}l${"r".repeat(list.length)}@{}}`, "\\toprule",
          line(["", ...list.map((row) => (rotated ? `\\rotatebox{60}{${latex(row.system)}}` : latex(row.system)))]), "\\midrule",
          ...shown.map((key) => line([latex(key), ...list.map((row) => cell(row, key))])), "\\bottomrule", "\\end{tabular}}", ""].join("\n");
      }
      const turned = shown.length > 12;
      const lines = [`${title}, \\usepackage{longtable}${turned ? " and \\usepackage{pdflscape}" : ""}`, ...(turned ? ["\\begin{landscape}"] : []), "{\\scriptsize\\setlength{\\tabcolsep}{1.5pt}%",
        `\\begin{longtable}{@{}p{${turned ? 120 : Math.min(150, 340 - 21 * shown.length)}pt}${"r".repeat(shown.length)}@{}}`, "\\toprule", line(["System", "avg", ...shown.slice(1).map(latex)]), "\\midrule\\endhead"];
      let group = null;
      for (const row of list) {
        if (row.group !== group) { if (group) lines.push("\\midrule"); group = row.group; lines.push(`\\multicolumn{${1 + shown.length}}{@{}l}{\\emph{${latex(group)}}} \\\\*`); }
        lines.push(line([latex(row.source ? `${row.system} (${row.source})` : row.system), ...shown.map((key) => cell(row, key))]));
      }
      return [...lines, "\\bottomrule", "\\end{longtable}}", ...(turned ? ["\\end{landscape}"] : []), ""].join("\n");
    },
    md({ shown, head, list }) {
      const lines = [`${markdown(table.dataset.name)}; average: ${markdown(head)}`, "", `| ${["System", "Origin", "Avg", ...shown.slice(1).map(markdown)].join(" | ")} |`, `|---|---|${"---:|".repeat(shown.length)}`];
      for (const row of list) {
        const cells = shown.map((key) => (row.scores[key] === undefined ? "–" : best(list, key, row) ? `**${row.scores[key].toFixed(3)}**` : row.scores[key].toFixed(3)));
        lines.push(`| ${[markdown(row.system), markdown(row.source ?? row.origin), ...cells].join(" | ")} |`);
      }
      return [...lines, ""].join("\n");
    },
  };

  function download(event) {
    const link = event.currentTarget, label = document.querySelector(".downloads span");
    if (label.textContent === label.dataset.whole) return;                        // a file of the whole table exists
    event.preventDefault();
    const file = URL.createObjectURL(new Blob([writers[link.dataset.kind](view())], { type: "text/plain;charset=utf-8" }));
    const anchor = document.createElement("a");
    anchor.href = file;
    anchor.download = link.getAttribute("href").split("/").pop().replace(/\.(\w+)$/, "-view.$1");
    anchor.click();
    setTimeout(() => URL.revokeObjectURL(file), 10000);
  }

  // -- start ------------------------------------------------------------------------------------------------------------
  for (const head of heads) {
    const button = document.createElement("button");
    const said = head.dataset.key === "system" ? "system" : head.querySelector("abbr")?.title ?? (head === average ? "average" : head.textContent.toLowerCase());
    button.type = "button";
    button.className = "sort";
    button.setAttribute("aria-label", `Sort by ${said}`);
    head.append(button);
    head.classList.add("sorts");
    head.addEventListener("click", (event) => {
      if (event.target.closest("a")) return;
      const key = head.dataset.key, up = ["system", "licence"].includes(key);       // names from a, scores from the best
      if (!sort || sort.key !== key) sort = { key, up };
      else if (sort.up === up) sort = { key, up: !up };
      else sort = null;
      apply();
    });
  }
  form.addEventListener("input", () => { wrong = []; apply(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => { sort = null; wrong = []; apply(); }));
  for (const box of switches) box.addEventListener("change", () => (everything || ["variants", "predicted"].includes(box.id.slice(5)) ? apply() : (show(), write())));
  for (const box of ticks) { box.hidden = !table.dataset.compare; box.addEventListener("change", ticked); }
  for (const label of document.querySelectorAll(".scripted")) label.hidden = false;
  compare.hidden = !table.dataset.compare;
  compare.querySelector("button").addEventListener("click", () => { window.location.href = `${table.dataset.compare}#s=${ticked().join(",")}`; });
  more.firstElementChild.addEventListener("click", () => { everything = true; apply(false); });
  window.addEventListener("beforeprint", () => { const before = everything; everything = true; apply(false, Infinity); everything = before; });   // paper has room
  window.addEventListener("afterprint", () => apply(false));
  for (const link of document.querySelectorAll(".downloads a")) link.addEventListener("click", download);
  form.querySelector(".pick").addEventListener("toggle", ({ target: pick }) => {                  // its list stays on the page
    const list = pick.lastElementChild, room = document.documentElement.clientWidth - 16 - pick.getBoundingClientRect().left;
    if (window.innerWidth > 640) list.style.left = `${Math.min(0, room - list.offsetWidth)}px`;
  });
  document.addEventListener("click", (event) => { const pick = form.querySelector(".pick"); if (!pick.contains(event.target)) pick.open = false; });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") form.querySelector(".pick").open = false; });
  window.addEventListener("hashchange", () => (read() ? apply(false) : write()));
  const box = document.querySelector(".filterbox");
  box.open = window.innerWidth >= 768 || window.location.hash.includes("=");
  box.hidden = false;
  read();
  apply(window.location.hash.includes("=") && !wrong.length);
})();
