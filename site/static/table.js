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
  const MOST = 60;                                                    // rows shown at first
  const groups = [...table.tBodies].map((body) => ({ body, kind: body.dataset.kind, head: body.rows[0], rows: [...body.rows].slice(1) }));
  const rows = groups.flatMap((group) => group.rows);
  const facts = new Map(rows.map((row) => {
    const link = row.cells[0].querySelector("a"), values = new Map();
    for (const [key, i] of column) { const v = row.cells[i].dataset.v; values.set(key, v === undefined ? null : Number.isNaN(Number(v)) ? v : Number(v)); }
    const cell = row.cells[first - 1];
    return [row, { name: link.textContent.trim(), text: row.cells[0].textContent.toLowerCase(), values, kept: { html: [...cell.childNodes], of: cell.className, v: cell.dataset.v } }];
  }));
  const switches = [...document.querySelectorAll(".switches input")];
  const initial = new Map(switches.map((box) => [box, box.defaultChecked]));
  const boxes = [...form.querySelectorAll("[name=lang]")];
  const selects = [...form.querySelectorAll("select")];
  const ofRows = selects.filter((s) => !["script", "resources"].includes(s.name));
  const ofColumns = selects.filter((s) => ["script", "resources"].includes(s.name));
  const averaged = new Set(table.dataset.averaged.split(","));          // languages of the widest average
  const ticks = [...table.querySelectorAll(".tick")];
  const compare = document.querySelector(".compare"), more = document.querySelector(".more");
  let sort = null;                                                    // { key, up }, or null for the order of the page
  let everything = false, changed = false, wrong = [];

  const value = (row, key) => facts.get(row).values.get(key);
  const on = (id) => switches.some((box) => box.id === `show-${id}` && box.checked);

  // -- view -------------------------------------------------------------------------------------------------------------
  function shownCodes() {
    return codes.filter((code, i) => boxes[i].checked && ofColumns.every((s) => !s.value || heads[i + first].dataset[s.name] === s.value));
  }

  function matches(row, group, words, shown) {
    if (row.classList.contains("variant") && !on("variants")) return false;
    if (group.kind === "predicted" && !on("predicted") && form.elements.origin?.value !== "predicted") return false;
    if (shown.length < codes.length && !shown.some((code) => row.cells[column.get(code)].textContent !== "–")) return false;
    if (!words.every((word) => facts.get(row).text.includes(word))) return false;
    return ofRows.every((s) => !s.value || (s.name === "size" ? Number(row.dataset.size ?? Infinity) <= Number(s.value) : row.dataset[s.name] === s.value));
  }

  // With languages hidden, the averages are those of the shown that the printed average covers.
  function averages(shown) {
    const within = shown.filter((code) => averaged.has(code)), meant = within.length ? within : shown;
    const partial = shown.length < codes.length && shown.length > 0;
    what.textContent = partial ? "Mean" : whole;
    average.querySelector("small").textContent = partial ? `of ${meant.length} shown` : over;
    for (const row of rows) {
      const cell = row.cells[first - 1], { kept, values } = facts.get(row);
      if (!partial) {
        if (values.get("average") === (kept.v === undefined ? null : Number(kept.v)) && cell.className === kept.of) continue;
        cell.className = kept.of;
        cell.replaceChildren(...kept.html);
        if (kept.v !== undefined) cell.dataset.v = kept.v;
        values.set("average", kept.v === undefined ? null : Number(kept.v));
        continue;
      }
      const parts = meant.map((code) => values.get(code));
      const mean = parts.includes(null) ? null : parts.reduce((a, b) => a + b, 0) / parts.length;
      values.set("average", mean);
      cell.className = mean === null ? "average none" : "average";
      if (mean === null) delete cell.dataset.v;
      else cell.dataset.v = mean.toFixed(6);
      const small = document.createElement("small"), rank = document.createElement("i");
      rank.className = "rank";
      small.append(rank);
      cell.replaceChildren(...(mean === null ? ["–"] : [mean.toFixed(3), small]));
    }
    return partial;
  }

  // Ranks and colours among the rows that are shown; published figures are compared at three decimals.
  function rank(group, keys) {
    if (group.kind === "predicted") return;
    const inside = group.rows.filter((row) => !row.hidden && !row.classList.contains("variant"));
    for (const key of keys) {
      const i = column.get(key), exact = group.kind === "measured";
      const scored = inside.map((row) => [row, value(row, key)]).filter(([, v]) => v !== null).map(([row, v]) => [row, exact ? v : Math.round(v * 1000) / 1000]);
      scored.sort((a, b) => b[1] - a[1]);
      const best = scored.length ? scored[0][1] : 0;
      let place = 0;
      scored.forEach(([row, v], at) => {
        if (!at || v !== scored[at - 1][1]) place = at + 1;
        const cell = row.cells[i], shown = cell.querySelector(".rank");
        if (shown && shown.textContent !== String(place)) shown.textContent = place;
        const heat = 9 - HEAT.filter((limit) => best - v > limit).length;
        if (!cell.classList.contains(`h${heat}`)) cell.className = cell.className.replace(/\bh\d\b/, "").trim() + ` h${heat}`;
        cell.classList.toggle("top", shown?.parentNode.querySelector(".letters") ? cell.classList.contains("top") : place === 1);
      });
    }
  }

  function arrange() {
    for (const group of groups) {
      let order = group.rows;
      if (sort) {
        const direction = sort.up ? 1 : -1;
        order = [...order].sort((a, b) => {
          if (sort.key === "system") return direction * facts.get(a).name.localeCompare(facts.get(b).name, "en");
          const x = value(a, sort.key), y = value(b, sort.key);
          if (x === null || y === null) return (x === null) - (y === null);       // rows without a score stay at the end
          return direction * (typeof x === "string" ? String(x).localeCompare(String(y), "en") : x - y);
        });
      }
      if (order.some((row, i) => group.body.rows[i + 1] !== row)) group.body.append(...order);
    }
    for (const head of heads) {
      if (sort && head.dataset.key === sort.key) head.setAttribute("aria-sort", sort.up ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    }
  }

  let styled = null;
  function apply(remember = true) {
    const shown = shownCodes(), words = form.elements.q.value.toLowerCase().split(/\s+/).filter(Boolean);
    const partial = averages(shown);
    if (partial && !sort) sort = { key: "average", up: false, implied: true };
    else if (!partial && sort?.implied) sort = null;
    let count = 0;
    const present = rows.filter((row) => !row.classList.contains("variant")).length - (on("predicted") ? 0 : groups.filter((g) => g.kind === "predicted").reduce((n, g) => n + g.rows.length, 0));
    for (const group of groups) {
      let here = 0;
      for (const row of group.rows) { row.hidden = !matches(row, group, words, shown); here += !row.hidden; }
      group.body.hidden = !here;
      count += here;
    }
    const hidden = codes.map((code, i) => (shown.includes(code) ? 0 : i + first + 1)).filter(Boolean);
    styled ??= document.head.appendChild(document.createElement("style"));
    styled.textContent = hidden.length ? `.ranking tr:not(.group) > :is(${hidden.map((n) => `:nth-child(${n})`).join(",")}){display:none}` : "";
    const filtered = count !== present || hidden.length > 0;
    if (filtered || changed) { for (const group of groups) rank(group, ["average", ...shown]); changed = true; }
    arrange();
    let left = everything ? Infinity : MOST;
    for (const group of groups) for (const row of group.body.rows) if (!row.hidden && !row.classList.contains("group") && left-- <= 0) row.classList.add("later"); else row.classList.remove("later");
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
    const list = groups.flatMap((group) => group.rows.length && !group.body.hidden
      ? [...group.body.rows].filter((row) => !row.classList.contains("group") && !row.hidden).map((row) => ({
        system: facts.get(row).name,
        group: group.head.querySelector("b").textContent,
        origin: row.dataset.origin,
        source: row.querySelector(".source")?.textContent ?? null,
        family: row.dataset.family,
        scores: Object.fromEntries(shown.map((key) => [key, value(row, key)]).filter(([, v]) => v !== null)),
        letters: Object.fromEntries(shown.map((key) => [key, row.cells[column.get(key)].querySelector(".letters")?.textContent ?? ""])),
      })) : []);
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
        return [title, "{\\small\\setlength{\\tabcolsep}{3pt}%", `\\begin{tabular}{l${"r".repeat(list.length)}}`, "\\toprule", line(["", ...list.map((row) => latex(row.system))]), "\\midrule",
          ...shown.map((key) => line([latex(key), ...list.map((row) => cell(row, key))])), "\\bottomrule", "\\end{tabular}}", ""].join("\n");
      }
      const lines = [`${title} and \\usepackage{longtable}`, "{\\tiny\\setlength{\\tabcolsep}{1.5pt}%", `\\begin{longtable}{@{}p{3.2cm}${"r".repeat(shown.length)}@{}}`, "\\toprule", line(["System", "avg", ...shown.slice(1).map(latex)]), "\\midrule\\endhead"];
      let group = null;
      for (const row of list) {
        if (row.group !== group) { if (group) lines.push("\\midrule"); group = row.group; lines.push(`\\multicolumn{${1 + shown.length}}{@{}l}{\\emph{${latex(group)}}} \\\\*`); }
        lines.push(line([latex(row.source ? `${row.system} (${row.source})` : row.system), ...shown.map((key) => cell(row, key))]));
      }
      return [...lines, "\\bottomrule", "\\end{longtable}}", ""].join("\n");
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
  for (const box of switches) box.addEventListener("change", () => (["variants", "predicted"].includes(box.id.slice(5)) ? apply() : write()));
  for (const box of ticks) { box.hidden = !table.dataset.compare; box.addEventListener("change", ticked); }
  for (const label of document.querySelectorAll(".scripted")) label.hidden = false;
  compare.hidden = !table.dataset.compare;
  compare.querySelector("button").addEventListener("click", () => { window.location.href = `${table.dataset.compare}#s=${ticked().join(",")}`; });
  more.firstElementChild.addEventListener("click", () => { everything = true; apply(false); });
  for (const link of document.querySelectorAll(".downloads a")) link.addEventListener("click", download);
  document.addEventListener("click", (event) => { const pick = form.querySelector(".pick"); if (!pick.contains(event.target)) pick.open = false; });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") form.querySelector(".pick").open = false; });
  window.addEventListener("hashchange", () => (read() ? apply(false) : write()));
  const box = document.querySelector(".filterbox");
  box.open = window.innerWidth >= 768 || window.location.hash.includes("=");
  box.hidden = false;
  read();
  apply(window.location.hash.includes("=") && !wrong.length);
})();
