// Leaderboards: sort, filter, keep the view in the address, and save it as a file. The page works without this script.
"use strict";
(() => {
  const table = document.querySelector("table.ranking");
  if (!table) return;
  const form = document.querySelector(".filters"), state = document.querySelector(".state");
  const heads = [...table.tHead.rows[0].cells];
  const column = new Map(heads.map((head, i) => [head.dataset.key, i]));
  const codes = heads.slice(2).map((head) => head.dataset.key);
  const average = heads[1];
  const what = average.querySelector(".what");
  const whole = what.textContent, over = average.querySelector("small").textContent;
  const groups = [...table.tBodies].map((body) => ({ body, head: body.rows[0], rows: [...body.rows].slice(1) }));
  const rows = groups.flatMap((group) => group.rows);
  const name = new Map(rows.map((row) => [row, row.cells[0].querySelector("a, span").textContent.trim()]));
  const printed = new Map(rows.map((row) => [row, { html: [...row.cells[1].childNodes], of: row.cells[1].className, v: row.cells[1].dataset.v }]));
  const switches = [...document.querySelectorAll(".switches input")];
  const initial = new Map(switches.map((box) => [box, box.defaultChecked]));
  const boxes = [...form.querySelectorAll("[name=lang]")];
  const selects = [...form.querySelectorAll("select")];
  const ofRows = selects.filter((s) => !["script", "resources"].includes(s.name));
  const ofColumns = selects.filter((s) => ["script", "resources"].includes(s.name));
  const averaged = new Set(table.dataset.averaged.split(","));          // languages of the widest average
  let sort = null;                                                    // { key, up }, or null for the order of the page

  const value = (row, key) => {
    const v = row.cells[column.get(key)].dataset.v;
    return v === undefined ? null : Number(v);
  };

  // -- view -------------------------------------------------------------------------------------------------------------
  function shownCodes() {
    return codes.filter((code, i) => boxes[i].checked && ofColumns.every((s) => !s.value || heads[i + 2].dataset[s.name] === s.value));
  }

  function matches(row, words) {
    const text = row.cells[0].textContent.toLowerCase();
    return words.every((word) => text.includes(word)) && ofRows.every((s) => !s.value || row.dataset[s.name] === s.value);
  }

  // If languages are hidden, averages cover the shown languages of the printed average, and are ranked in each group.
  function averages(shown) {
    const within = shown.filter((code) => averaged.has(code)), meant = within.length ? within : shown;
    const partial = shown.length < codes.length && shown.length > 0;
    what.textContent = partial ? "Mean" : whole;
    average.querySelector("small").textContent = partial ? `of ${meant.length} shown` : over;
    for (const group of groups) {
      const means = new Map();
      for (const row of group.rows) {
        const cell = row.cells[1], kept = printed.get(row);
        if (!partial) {
          cell.className = kept.of;
          if (kept.v === undefined) delete cell.dataset.v; else cell.dataset.v = kept.v;
          cell.replaceChildren(...kept.html);
          continue;
        }
        const values = meant.map((code) => value(row, code));
        means.set(row, values.includes(null) ? null : values.reduce((a, b) => a + b, 0) / values.length);
      }
      if (partial) {
        const order = [...means.values()].filter((v) => v !== null).sort((a, b) => b - a);
        for (const [row, mean] of means) {
          const cell = row.cells[1];
          cell.className = mean === null ? "average none" : "average";
          if (mean === null) { delete cell.dataset.v; cell.textContent = "–"; continue; }
          const small = document.createElement("small"), rank = document.createElement("i");
          rank.className = "rank";
          rank.textContent = String(order.indexOf(mean) + 1);
          small.append(rank);
          cell.dataset.v = mean.toFixed(6);
          cell.replaceChildren(mean.toFixed(3), small);
        }
      }
    }
  }

  function arrange() {
    for (const group of groups) {
      let order = group.rows;
      if (sort) {
        const direction = sort.up ? 1 : -1;
        order = [...order].sort((a, b) => {
          if (sort.key === "system") return direction * name.get(a).localeCompare(name.get(b), "en");
          const x = value(a, sort.key), y = value(b, sort.key);
          if (x === null || y === null) return (x === null) - (y === null);       // rows without a score stay at the end
          return direction * (x - y);
        });
      }
      group.body.append(...order);
    }
    for (const head of heads) {
      if (sort && head.dataset.key === sort.key) head.setAttribute("aria-sort", sort.up ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    }
  }

  let styled = null;
  function apply(remember = true) {
    const shown = shownCodes(), words = form.elements.q.value.toLowerCase().split(/\s+/).filter(Boolean);
    averages(shown);
    let count = 0;
    for (const group of groups) {
      let here = 0;
      for (const row of group.rows) { row.hidden = !matches(row, words); here += !row.hidden; }
      group.body.hidden = !here;
      count += here;
    }
    const hidden = codes.map((code, i) => (shown.includes(code) ? 0 : i + 3)).filter(Boolean);
    styled ??= document.head.appendChild(document.createElement("style"));
    styled.textContent = hidden.length ? `.ranking tr:not(.group) > :is(${hidden.map((n) => `:nth-child(${n})`).join(",")}){display:none}` : "";
    arrange();
    const filtered = count < rows.length || hidden.length > 0;
    form.querySelector(".pick summary span").textContent = hidden.length ? `${shown.length} of ${codes.length}` : "all";
    state.hidden = !filtered;
    state.textContent = filtered ? `${count} of ${rows.length} rows, ${shown.length} of ${codes.length} languages. Ranks, letters and colours of a language compare all systems.` : "";
    const label = document.querySelector(".downloads span");
    label.textContent = filtered || sort ? label.dataset.view : label.dataset.whole;
    if (remember) write();
  }

  // -- address ----------------------------------------------------------------------------------------------------------
  function write() {
    const parts = new URLSearchParams();
    if (sort) parts.set("sort", sort.up ? `-${sort.key}` : sort.key);
    if (form.elements.q.value) parts.set("q", form.elements.q.value);
    for (const s of selects) if (s.value) parts.set(s.name, s.value);
    const picked = boxes.filter((box) => box.checked);
    if (picked.length < boxes.length) parts.set("langs", picked.map((box) => box.value).join(","));
    if (switches.some((box) => box.checked !== initial.get(box))) parts.set("show", switches.filter((box) => box.checked).map((box) => box.id.slice(5)).join(","));
    const text = parts.toString();
    if (`#${text}` !== (window.location.hash || "#")) history.replaceState(null, "", text ? `#${text}` : window.location.pathname + window.location.search);
    for (const link of document.querySelectorAll(".measures a")) link.href = link.getAttribute("href").split("#")[0] + (text ? `#${text}` : "");
  }

  function read() {
    const parts = new URLSearchParams(window.location.hash.slice(1));
    const wanted = parts.get("sort") ?? "";
    const key = wanted.replace(/^-/, "");
    sort = column.has(key) ? { key, up: wanted.startsWith("-") } : null;
    form.elements.q.value = parts.get("q") ?? "";
    for (const s of selects) {
      s.value = parts.get(s.name) ?? "";
      if (s.selectedIndex < 0) s.value = "";
    }
    const langs = parts.has("langs") ? new Set(parts.get("langs").split(",")) : null;
    for (const box of boxes) box.checked = !langs || langs.has(box.value);
    const show = parts.has("show") ? new Set(parts.get("show").split(",")) : null;
    for (const box of switches) box.checked = show ? show.has(box.id.slice(5)) : initial.get(box);
  }

  // -- files ------------------------------------------------------------------------------------------------------------
  function view() {
    const shown = ["average", ...shownCodes()];
    const list = groups.flatMap((group) => group.rows.length && !group.body.hidden
      ? [...group.body.rows].filter((row) => !row.classList.contains("group") && !row.hidden).map((row) => ({
        system: name.get(row),
        group: group.head.querySelector("b").textContent,
        origin: row.dataset.origin,
        source: row.querySelector(".source")?.textContent ?? null,
        family: row.dataset.family,
        scores: Object.fromEntries(shown.map((key) => [key, value(row, key)]).filter(([, v]) => v !== null)),
      })) : []);
    return { shown, head: `${what.textContent} (${average.querySelector("small").textContent})`, list };
  }

  const inert = (text) => (/^[=+\-@\t\r]/.test(text) ? `'${text}` : text);
  const quoted = (text) => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const latex = (text) => text.replace(/[\\~^&%$#_{}]/g, (c) => ({ "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}" })[c] ?? `\\${c}`).replace(/\s+/g, " ");
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
    tex({ shown, head, list }) {
      const lines = [`% ${table.dataset.name.replace(/\s+/g, " ")}; average: ${head.replace(/\s+/g, " ")}; needs \\usepackage{booktabs}`, `\\begin{tabular}{l${"r".repeat(shown.length)}}`, "\\toprule",
        `${["System", "Avg", ...shown.slice(1).map(latex)].join(" & ")} \\\\`];
      let group = null;
      for (const row of list) {
        if (row.group !== group) { group = row.group; lines.push("\\midrule", `\\multicolumn{${1 + shown.length}}{l}{\\emph{${latex(group)}}} \\\\`); }
        const cells = shown.map((key) => (row.scores[key] === undefined ? "--" : best(list, key, row) ? `\\textbf{${row.scores[key].toFixed(3)}}` : row.scores[key].toFixed(3)));
        lines.push(`${[latex(row.source ? `${row.system} (${row.source})` : row.system), ...cells].join(" & ")} \\\\`);
      }
      return [...lines, "\\bottomrule", "\\end{tabular}", ""].join("\n");
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
    const said = head.dataset.key === "system" ? "system" : head.querySelector("abbr")?.title ?? "average";
    button.type = "button";
    button.className = "sort";
    button.setAttribute("aria-label", `Sort by ${said}`);
    head.append(button);
    head.addEventListener("click", (event) => {
      if (event.target.closest("a")) return;
      const key = head.dataset.key, first = key === "system";                     // names from A, scores from the best
      if (!sort || sort.key !== key) sort = { key, up: first };
      else if (sort.up === first) sort = { key, up: !first };
      else sort = null;
      apply();
    });
  }
  form.addEventListener("input", () => apply());
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => { sort = null; apply(); }));
  for (const box of switches) box.addEventListener("change", write);
  for (const link of document.querySelectorAll(".downloads a")) link.addEventListener("click", download);
  document.addEventListener("click", (event) => { const pick = form.querySelector(".pick"); if (!pick.contains(event.target)) pick.open = false; });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") form.querySelector(".pick").open = false; });
  window.addEventListener("hashchange", () => { read(); apply(false); });
  const box = document.querySelector(".filterbox");
  box.open = window.innerWidth >= 768 || window.location.hash.length > 1;
  box.hidden = false;
  read();
  apply(Boolean(window.location.hash));
})();
