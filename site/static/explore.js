// Several systems side by side, and the plot of all systems, from a collection's board.js. The choice lives in the address.
"use strict";
(() => {
  const several = document.getElementById("several"), plot = document.getElementById("plot");
  const form = several ?? plot;
  if (!form) return;
  const SVG = "http://www.w3.org/2000/svg";
  const drawn = document.getElementById("drawn"), said = document.getElementById("said");
  const root = document.body.dataset.root;
  const SHAPES = ["M-5 0a5 5 0 1 0 10 0a5 5 0 1 0-10 0", "M-4.5-4.5h9v9h-9z", "M0-6L6 5H-6z", "M0-6L6 0 0 6-6 0z", "M0 6L6-5H-6z", "M-2-6h4v4h4v4h-4v4h-4v-4h-4v-4h4z"];
  const words = { trained: "trained on MIRACL", "declared not": "declared as not trained on MIRACL", unknown: "training data not stated" };

  const make = (name, attributes = {}, ...children) => {
    const made = name.startsWith("svg:") ? document.createElementNS(SVG, name.slice(4)) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) if (value !== null && value !== undefined) made.setAttribute(key, value);
    made.append(...children.filter((child) => child !== null && child !== undefined));
    return made;
  };
  const fixed = (value) => value.toFixed(3);
  const name = (board, code) => (code === "average" ? "average" : board.names[code]?.[0] ?? code);
  const system = (row) => make("a", { href: root + row.a }, row.n);
  const score = (board, row, code) => { const v = row.v[board.codes.indexOf(code)]; return v ? v / board.steps : null; };
  const scroll = (label, ...inside) => make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, ...inside);

  // -- several systems ----------------------------------------------------------------------------------------------------
  function showSeveral(board) {
    const rows = new Map(board.rows.map((row) => [row.s, row]));
    const labels = new Map(board.rows.map((row) => [row.o ? `${row.n} (${row.o})` : row.n, row.s]));
    document.getElementById("systems").append(...[...labels.keys()].map((label) => make("option", { value: label })));
    let picked = [];

    const write = () => history.replaceState(null, "", picked.length ? `#s=${picked.join(",")}` : window.location.pathname);
    const read = () => {
      const wanted = (new URLSearchParams(window.location.hash.slice(1)).get("s") ?? "").split(",").filter(Boolean);
      picked = [...new Set(wanted.filter((slug) => rows.has(slug)))].slice(0, 6);
      const missing = wanted.filter((slug) => !rows.has(slug));
      if (!picked.length) picked = board.rows.filter((row) => row.v[0] && row.g !== "predicted").slice(0, 3).map((row) => row.s);
      draw(missing.length ? `This collection has no system ${missing.map((slug) => `“${slug}”`).join(", ")}. ` : "");
    };

    function draw(note = "") {
      const chosen = picked.map((slug) => rows.get(slug));
      document.getElementById("picked").replaceChildren(...chosen.map((row, i) => {
        const remove = make("button", { type: "button", "aria-label": `Remove ${row.n}` }, "×");
        remove.addEventListener("click", () => { picked = picked.filter((slug) => slug !== row.s); write(); draw(); });
        return make("li", {}, mark(i), " ", system(row), " ", make("span", { class: "org" }, row.o ?? ""), " ", remove);
      }));
      form.elements.add.disabled = picked.length >= 6;
      if (chosen.length < 2) { said.textContent = `${note}Add a system to compare.`; drawn.replaceChildren(); return; }
      const codes = board.codes.filter((code) => chosen.some((row) => score(board, row, code) !== null));
      const kinds = new Set(chosen.map((row) => row.g === "predicted" ? "predicted" : row.g === "measured" || row.g === "submitted" ? "measured" : "published"));
      const states = new Set(chosen.map((row) => row.t));
      const tested = chosen.every((row) => row.e);
      said.textContent = note + (tested ? "Systems that share a letter in a row are not significantly different, after Holm’s correction over all pairs of the leaderboard. Letters with † hold for topics alone: too few seeds were trained."
        : "Differences cannot be tested: at least one system has no topic-level scores.") + (states.size > 1 ? ` The systems differ in training data: ${[...states].map((s) => words[s]).join("; ")}.` : "")
        + (kinds.size > 1 ? ` Some figures are ${[...kinds].join(", some ")}.` : "");
      drawn.replaceChildren(figure(board, chosen, codes), table(board, chosen, codes));
    }

    const mark = (i) => make("svg:svg", { class: `key c${i + 1}`, viewBox: "-7 -7 14 14", width: 14, height: 14, "aria-hidden": "true" }, make("svg:path", { d: SHAPES[i] }));

    function table(board, chosen, codes) {
      const body = codes.map((code) => {
        const at = board.codes.indexOf(code), values = chosen.map((row) => score(board, row, code));
        const best = Math.max(...values.filter((v) => v !== null));
        return make("tr", {}, make("th", { scope: "row" }, name(board, code)), ...chosen.map((row, i) => {
          const v = values[i], interval = row.i?.[at];
          if (v === null) return make("td", { class: "none" }, "–");
          return make("td", { class: v === best ? "best" : null }, row.g === "predicted" ? make("i", {}, fixed(v)) : fixed(v), row.e?.[at] ? make("small", { class: "letters" }, ` ${row.e[at]}`) : null,
            interval?.length ? make("small", { class: "interval" }, ` ${fixed(interval[0] / board.steps)}–${fixed(interval[1] / board.steps)}`) : null);
        }));
      });
      const facts = [["parameters", (row) => (!row.p ? "–" : row.p >= 1000 ? `${(row.p / 1000).toPrecision(3)}B` : `${Math.round(row.p)}M`)], ["licence", (row) => row.L ?? "–"], ["training data", (row) => words[row.t]], ["kind", (row) => row.k], ["released", (row) => row.d ?? "–"]]
        .map(([label, of]) => make("tr", {}, make("th", { scope: "row" }, label), ...chosen.map((row) => make("td", {}, of(row)))));
      return scroll("Scores by language", make("table", { class: "stuck" },
        make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "Language"), ...chosen.map((row, i) => make("th", { scope: "col" }, mark(i), " ", row.n)))), make("tbody", {}, ...body), make("tbody", {}, ...facts)));
    }

    function figure(board, chosen, codes) {
      const values = codes.flatMap((code) => chosen.flatMap((row) => { const at = board.codes.indexOf(code), i = row.i?.[at]; return i?.length ? i.map((v) => v / board.steps) : [score(board, row, code)]; })).filter((v) => v !== null);
      const low = Math.max(0, Math.floor(Math.min(...values) * 10) / 10), high = Math.min(1, Math.ceil(Math.max(...values) * 10) / 10);
      const left = 92, width = Math.min(460, Math.max(220, drawn.clientWidth - left - 16)), step = 8 + 6 * chosen.length, height = codes.length * step;
      const x = (v) => left + (width * (v - low)) / (high - low || 1);
      const svg = make("svg:svg", { viewBox: `0 0 ${left + width + 16} ${height + 24}`, width: left + width + 16, height: height + 24, class: "several" });
      const every = width < 300 && high - low > 0.5 ? 2 : 1;                      // tenths between two lines
      for (let tenth = Math.round(low * 10); tenth <= Math.round(high * 10); tenth += every) svg.append(make("svg:line", { class: "grid", x1: x(tenth / 10), x2: x(tenth / 10), y1: 0, y2: height }), make("svg:text", { x: x(tenth / 10), y: height + 16, "text-anchor": "middle" }, (tenth / 10).toFixed(1)));
      codes.forEach((code, r) => {
        if (r) svg.append(make("svg:line", { class: "grid", x1: 0, x2: left + width, y1: r * step, y2: r * step }));
        svg.append(make("svg:text", { x: left - 8, y: r * step + step / 2 + 4, "text-anchor": "end" }, name(board, code)));
        chosen.forEach((row, i) => {
          const v = score(board, row, code), interval = row.i?.[board.codes.indexOf(code)], y = r * step + 7 + 6 * i;
          if (v === null) return;
          if (interval?.length) svg.append(make("svg:line", { class: `bar c${i + 1}`, x1: x(interval[0] / board.steps), x2: x(interval[1] / board.steps), y1: y, y2: y }));
          svg.append(make("svg:path", { class: `c${i + 1}`, d: SHAPES[i], transform: `translate(${x(v).toFixed(1)} ${y})` }, make("svg:title", {}, `${row.n}, ${name(board, code)}: ${fixed(v)}`)));
        });
      });
      return make("figure", { class: "drawing" }, make("figcaption", {}, `${board.measure} by language`), make("div", { class: "canvas", role: "img", tabindex: "0", "aria-label": `${board.measure} of ${chosen.map((row) => row.n).join(", ")} by language; the table below has all values.` }, svg));
    }

    form.addEventListener("submit", (event) => event.preventDefault());
    form.elements.add.addEventListener("input", () => {
      const slug = labels.get(form.elements.add.value);
      if (!slug || picked.includes(slug) || picked.length >= 6) return;
      picked.push(slug);
      form.elements.add.value = "";
      write();
      draw();
    });
    window.addEventListener("hashchange", () => { if (window.location.hash.includes("=")) read(); });
    read();
  }

  // -- plot ---------------------------------------------------------------------------------------------------------------
  const AXES = {                                 // title, whether the scale is logarithmic, what the front means
    p: ["parameters, millions", true, "with as few parameters"], d: ["release date", false, "of the same date or earlier"],
    m: ["embedding dimension", true, "with as small a dimension"], c: ["measured time of all steps, seconds", true, "as fast"],
  };
  const COST = { p: 1, m: 1, c: 1, d: 1 };       // less is better; an early date is shown as a front over time

  function showPlot(board) {
    const fields = ["y", "x", "k", "t", "l"];
    const initial = Object.fromEntries(fields.map((field) => [field, form.elements[field].value]));
    const means = (row, level) => {
      const values = board.codes.filter((code) => board.resources[code] === level && code !== "yo" && code !== "de").map((code) => score(board, row, code));
      return !values.length || values.includes(null) ? null : values.reduce((a, b) => a + b, 0) / values.length;
    };
    const of = (row, axis) => {
      if (axis === "gap") { const high = means(row, "high"), low = means(row, "low"); return high === null || low === null ? null : high - low; }
      if (axis === "d") return row.d ? Date.parse(row.d) : null;
      if (axis in AXES) return row[axis] > 0 ? row[axis] : null;
      return score(board, row, axis);
    };

    function draw() {
      const asked = Object.fromEntries(fields.map((field) => [field, form.elements[field].value]));
      const points = board.rows.filter((row) => row.g !== "predicted" && (!asked.k || row.k === asked.k) && (!asked.t || row.t === asked.t) && (!asked.l || row.l === asked.l))
        .map((row) => ({ row, x: of(row, asked.x), y: of(row, asked.y) })).filter((p) => p.x !== null && p.y !== null);
      if (!points.length) { said.textContent = "No system has both values."; drawn.replaceChildren(); return; }
      const cost = asked.x in COST, log = AXES[asked.x]?.[1] ?? false;
      const ordered = [...points].sort((a, b) => (cost ? a.x - b.x : b.x - a.x) || b.y - a.y);
      const front = [];
      if (asked.y !== "gap") for (const p of ordered) if (!front.length || p.y > front[front.length - 1].y) front.push(p);
      said.textContent = `${points.length} systems.${front.length ? ` ${front.length} are on the Pareto front: no other system ${cost ? `${AXES[asked.x][2]} scores higher` : "is better on both axes"}.` : " A gap above 0 means higher scores in languages with large corpora."}`;
      drawn.replaceChildren(chart(points, front, asked, log), list(front.length ? front : [...points].sort((a, b) => a.y - b.y).slice(0, 15), asked));
    }

    const shown = (v, axis) => (axis === "d" ? new Date(v).toISOString().slice(0, 10) : axis in AXES ? (v < 10 && axis !== "m" ? v.toFixed(1) : String(Math.round(v))) : fixed(v));
    const title = (axis) => (axis === "gap" ? "gap between high- and low-resource languages" : AXES[axis]?.[0] ?? `${board.measure}, ${name(board, axis)}`);

    function ticks(low, high, log, axis) {
      if (axis === "d") { const years = []; for (let y = new Date(low).getUTCFullYear(); Date.UTC(y, 0) <= high; y++) if (Date.UTC(y, 0) >= low) years.push([Date.UTC(y, 0), String(y)]); return years; }
      if (log) { const made = []; for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++) for (const m of [1, 3]) { const v = m * 10 ** e; if (v >= low * 0.999 && v <= high * 1.001) made.push([v, v >= 10000 ? `${v / 1000}k` : String(v)]); } return made; }
      const step = high - low > 0.5 ? 0.1 : high - low > 0.2 ? 0.05 : 0.02, made = [];
      for (let v = Math.ceil(low / step - 1e-9) * step; v <= high + 1e-9; v += step) made.push([v, v.toFixed(2)]);
      return made;
    }

    function chart(points, front, asked, log) {
      const W = Math.min(720, Math.max(320, drawn.clientWidth)), H = 420, left = 56, bottom = 44, right = 16, top = 12;
      const xs = points.map((p) => p.x), ys = points.map((p) => p.y);
      const range = (values, log) => { const a = Math.min(...values), b = Math.max(...values); return log ? [a / 1.15, b * 1.15] : [a - 0.03 * (b - a || 0.1), b + 0.03 * (b - a || 0.1)]; };
      const [x0, x1] = range(xs, log), [y0, y1] = range(ys, false);
      const x = (v) => left + (W - left - right) * (log ? Math.log(v / x0) / Math.log(x1 / x0) : (v - x0) / (x1 - x0));
      const y = (v) => H - bottom - (H - top - bottom) * ((v - y0) / (y1 - y0));
      const svg = make("svg:svg", { viewBox: `0 0 ${W} ${H}`, width: W, height: H, class: "several" });
      for (const [v, label] of ticks(x0, x1, log, asked.x)) svg.append(make("svg:line", { class: "grid", x1: x(v), x2: x(v), y1: top, y2: H - bottom }), make("svg:text", { x: x(v), y: H - bottom + 16, "text-anchor": "middle" }, label));
      for (const [v, label] of ticks(y0, y1, false, asked.y)) svg.append(make("svg:line", { class: "grid", x1: left, x2: W - right, y1: y(v), y2: y(v) }), make("svg:text", { x: left - 6, y: y(v) + 4, "text-anchor": "end" }, label));
      svg.append(make("svg:text", { x: (left + W) / 2, y: H - 6, "text-anchor": "middle" }, title(asked.x)));
      if (front.length > 1) {
        const steps = [...front].sort((a, b) => a.x - b.x);
        svg.append(make("svg:path", { class: "front", d: steps.map((p, i) => (i ? `H${x(p.x).toFixed(1)}V${y(p.y).toFixed(1)}` : `M${x(p.x).toFixed(1)} ${y(p.y).toFixed(1)}`)).join("") }));
      }
      const place = { trained: 1, "declared not": 2, unknown: 3 };
      for (const p of points) svg.append(make("svg:path", { class: `c${place[p.row.t]} point`, d: SHAPES[place[p.row.t] - 1], transform: `translate(${x(p.x).toFixed(1)} ${y(p.y).toFixed(1)}) scale(.8)` }, make("svg:title", {}, `${p.row.n}: ${shown(p.y, asked.y)} at ${shown(p.x, asked.x)}`)));
      // A label stands beside its point where it covers no other label and no point; the table below names every system.
      const placed = [], dots = points.map((p) => [x(p.x), y(p.y)]);
      for (const p of [...front].sort((a, b) => b.y - a.y)) {
        const wide = 6.8 * p.row.n.length, [px, py] = [x(p.x), y(p.y)];
        const box = [[-8 - wide, -16], [8, -16], [-8 - wide, 4], [8, 4], [-8 - wide, -6], [8, -6]].map(([dx, dy]) => [px + dx, py + dy, px + dx + wide, py + dy + 12])
          .find(([x1, y1, x2, y2]) => x1 > left && x2 < W && y1 > 0 && y2 < H - bottom && !dots.some(([a, b]) => a > x1 - 4 && a < x2 + 4 && b > y1 - 4 && b < y2 + 4)
            && !placed.some((o) => o[0] < x2 + 4 && x1 < o[2] + 4 && o[1] < y2 && y1 < o[3]));
        if (!box) continue;
        placed.push(box);
        svg.append(make("svg:text", { class: "label", x: box[0] < px ? box[2] : box[0], y: box[3] - 2, "text-anchor": box[0] < px ? "end" : "start" }, p.row.n));
      }
      const key = make("p", { class: "quiet keys" }, ...Object.entries(place).map(([state, i]) => make("span", {}, make("svg:svg", { class: `key c${i}`, viewBox: "-7 -7 14 14", width: 14, height: 14, "aria-hidden": "true" }, make("svg:path", { d: SHAPES[i - 1] })), ` ${words[state]}`)));
      return make("figure", { class: "drawing" }, make("figcaption", {}, `${title(asked.y)} against ${title(asked.x)}`), make("div", { class: "canvas", role: "img", tabindex: "0", "aria-label": `${points.length} systems. On the Pareto front: ${front.map((p) => p.row.n).join(", ")}. The table below has their values.` }, svg), key);
    }

    function list(front, asked) {
      return scroll("Systems on the front", make("table", { class: "stuck" }, make("thead", {}, make("tr", {}, make("th", { scope: "col" }, asked.y === "gap" ? "Smallest gaps" : "On the Pareto front"), make("th", { scope: "col" }, title(asked.y)), make("th", { scope: "col" }, title(asked.x)), make("th", { scope: "col" }, "Licence"))),
        make("tbody", {}, ...front.map((p) => make("tr", {}, make("th", { scope: "row" }, system(p.row), " ", make("span", { class: "org" }, p.row.o ?? "")), make("td", {}, shown(p.y, asked.y)), make("td", {}, shown(p.x, asked.x)), make("td", {}, p.row.L ?? "–"))))));
    }

    const write = () => {
      const parts = new URLSearchParams(fields.map((field) => [field, form.elements[field].value]).filter(([field, v]) => v !== initial[field]));
      history.replaceState(null, "", parts.toString() ? `#${parts}` : window.location.pathname);
    };
    const read = () => {
      const parts = new URLSearchParams(window.location.hash.includes("=") ? window.location.hash.slice(1) : "");
      for (const field of fields) { form.elements[field].value = parts.get(field) ?? initial[field]; if (form.elements[field].selectedIndex < 0) form.elements[field].value = initial[field]; }
      draw();
    };
    form.addEventListener("input", () => { write(); draw(); });
    form.addEventListener("submit", (event) => event.preventDefault());
    window.addEventListener("hashchange", () => { if (window.location.hash.includes("=")) read(); });
    read();
  }

  globalThis.mdrbenchBoard = (board) => (several ? showSeveral : showPlot)(board);
  form.hidden = false;
  const script = document.createElement("script");
  script.src = form.dataset.board;
  document.head.append(script);
})();
