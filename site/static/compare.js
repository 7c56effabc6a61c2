// Compares any two systems of a data set from the files in data/, and opens the topic that a link leads to.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const SVG = "http://www.w3.org/2000/svg";
  const MOST = 12;

  // -- topics of a built page: a link to one opens it ---------------------------------------------------------------------
  const reveal = () => {
    const id = decodeURIComponent(location.hash.slice(1));
    const details = id.startsWith("topic-") && $(id)?.closest("details");
    if (details) { details.open = true; details.scrollIntoView({ block: "start" }); }
  };

  // -- loading --------------------------------------------------------------------------------------------------------------
  const kept = new Map();
  const folder = () => $("choose").dataset.folder;
  globalThis.mdrbenchCompare = (kind, key, value) => kept.set(`${kind} ${key}`, value);
  const pending = new Map();
  const load = (kind, key, file) => {
    const name = `${kind} ${key}`;
    if (!pending.has(name)) {
      pending.set(name, new Promise((done, failed) => {
        const script = document.createElement("script");
        script.src = folder() + file;
        script.onload = () => (kept.has(name) ? done(kept.get(name)) : failed(new Error(file)));
        script.onerror = () => { pending.delete(name); failed(new Error(file)); };
        document.head.append(script);
      }));
    }
    return pending.get(name);
  };
  const scoresOf = (slug) => load("scores", slug, `${slug}.js`);
  const topicsOf = (key) => load("topics", key, `topics-${key}.js`);

  // -- numbers --------------------------------------------------------------------------------------------------------------
  const fixed = (value, digits = 3) => value.toFixed(digits);
  const signed = (value, digits = 3) => {
    const text = Math.abs(value).toFixed(digits);
    return Number(text) === 0 ? text : (value > 0 ? "+" : "\u2212") + text;
  };
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

  const logGamma = (x) => { // Lanczos, g = 7
    const c = [0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
      12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7];
    let sum = c[0];
    for (let i = 1; i < 9; i++) sum += c[i] / (x - 1 + i);
    const t = x + 6.5;
    return 0.5 * Math.log(2 * Math.PI) + (x - 0.5) * Math.log(t) - t + Math.log(sum);
  };
  const incompleteBeta = (x, a, b) => { // regularised, by its continued fraction (Lentz)
    if (x <= 0) return 0;
    if (x >= 1) return 1;
    if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(1 - x, b, a);
    const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log(1 - x)) / a;
    const tiny = 1e-300;
    let f = 1, c = 1, d = 0;
    for (let i = 0; i <= 300; i++) {
      const m = Math.floor(i / 2);
      let numerator = 1;
      if (i > 0) numerator = i % 2 === 0 ? (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m))
        : (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
      d = 1 + numerator * d; d = 1 / (Math.abs(d) < tiny ? tiny : d);
      c = 1 + numerator / (Math.abs(c) < tiny ? tiny : c);
      f *= c * d;
      if (Math.abs(1 - c * d) < 1e-12) break;
    }
    return front * (f - 1);
  };
  const pairedT = (differences) => { // two-sided p of Student's paired t test; 1 or 0 if all differences are equal
    const n = differences.length, average = mean(differences);
    const variance = differences.reduce((sum, d) => sum + (d - average) ** 2, 0) / (n - 1);
    if (!(variance > 1e-18)) return Math.abs(average) < 1e-12 ? 1 : 0;
    const t = average / Math.sqrt(variance / n), df = n - 1;
    return incompleteBeta(df / (df + t * t), df / 2, 0.5);
  };
  const holm = (values) => {
    const order = values.map((_, i) => i).sort((i, j) => values[i] - values[j]);
    const adjusted = [];
    let running = 0;
    order.forEach((index, step) => { running = Math.max(running, Math.min(1, (order.length - step) * values[index])); adjusted[index] = running; });
    return adjusted;
  };

  // -- comparing --------------------------------------------------------------------------------------------------------------
  /** Rows of the languages that both have, with topic-level scores if both have them for the same topics. */
  const compare = async (all, a, b, measure) => {
    const one = all.systems[a], other = all.systems[b];
    const langs = all.order.filter((lang) => lang in (one.means[measure] ?? {}) && lang in (other.means[measure] ?? {}));
    const alike = one.measured && other.measured && one.depth === other.depth;
    const [x, y] = alike ? await Promise.all([scoresOf(a), scoresOf(b)].map((p) => p.catch(() => ({})))) : [{}, {}];
    const rows = langs.map((lang) => {
      const row = { lang, a: one.means[measure][lang], b: other.means[measure][lang] };
      row.difference = row.a - row.b;
      const same = alike && one.topics[lang] && one.topics[lang] === other.topics[lang];
      const s = same && x[lang]?.[measure], t = same && y[lang]?.[measure];
      if (!s || !t || s.length < 2) return row;
      const d = s.map((value, i) => (value - t[i]) / all.steps);
      row.topics = { key: one.topics[lang], a: s.map((v) => v / all.steps), b: t.map((v) => v / all.steps), d };
      row.wins = d.filter((v) => v > 0).length;
      row.losses = d.filter((v) => v < 0).length;
      row.p = pairedT(d);
      return row;
    });
    const tested = rows.filter((row) => row.topics);
    holm(tested.map((row) => row.p)).forEach((p, i) => { tested[i].holm = p; });
    // Two systems of the leaderboard have its verdict: they differ exactly if they share no letter. Other pairs are tested
    // here, over topics; pairs with several trainings are left to `mdrbench compare`, which counts their seeds.
    const alpha = Number($("choose").dataset.alpha), letters = [one, other].map((system) => system.letters[measure] ?? {});
    const lettered = (lang) => letters.every((of) => of[lang]);
    const verdict = (lang) => {
      const [x, y] = letters.map((of) => spelled(of[lang].replace("\u2020", "")));
      if (x.some((letter) => y.includes(letter))) return "";
      return letters.some((of) => of[lang].endsWith("\u2020")) ? "\u2020" : "*";
    };
    const board = tested.length > 0 && tested.every((row) => lettered(row.lang));
    const trained = [one, other].map((system) => system.trainings).filter(Boolean);
    const several = !board && trained.length > 0 && Math.min(...trained) > 1;
    for (const row of tested) row.mark = board ? verdict(row.lang) : several || row.holm >= alpha ? "" : trained.length ? "\u2020" : "*";
    const averaged = all.averaged[measure], same = averaged.length === rows.length && rows.every((row) => averaged.includes(row.lang));
    const average = board && same && lettered("average") ? verdict("average") : null;
    return { rows, tested, one, other, alike, board, average, several };
  };
  const ALPHABET = "abcdefghijklmnopqrstuvwxyz";
  const place = (letter) => ALPHABET.indexOf(letter[0]) + 26 * Number(letter.slice(1) || 0);
  /** Letters such as "ab" or "b–e" as numbers. */
  const spelled = (text) => text.match(/[a-z]\d*(?:\u2013[a-z]\d*)?/g).flatMap((part) => {
    const [from, to] = part.split("\u2013").map(place);
    return Array.from({ length: (to ?? from) - from + 1 }, (_, i) => from + i);
  });

  // -- drawing --------------------------------------------------------------------------------------------------------------
  const element = (name, attributes = {}, ...children) => {
    const made = name.startsWith("svg:") ? document.createElementNS(SVG, name.slice(4)) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) if (value !== null && value !== undefined) made.setAttribute(key, value);
    made.append(...children.filter((child) => child !== null && child !== undefined));
    return made;
  };
  const cell = (text, attributes = {}) => element("td", attributes, text);
  const shape = (letter) => element("b", { class: `shape ${letter}` });
  const foreign = (all, lang, text) => {
    const [, tag, direction] = all.languages[lang];
    return element("bdi", { class: "foreign", lang: tag || null, dir: direction }, text);
  };
  const figure = (title, words, drawing) => element("figure", { class: "drawing plot" }, element("figcaption", {}, title),
    element("div", { class: "canvas", role: "img", "aria-label": words, tabindex: "0" }, drawing));

  const dumbbell = (all, rows, measure, words) => {
    const ordered = [...rows].sort((p, q) => q.difference - p.difference);
    const low = Math.max(0, Math.floor(Math.min(...rows.flatMap((r) => [r.a, r.b])) * 10) / 10);
    const left = 84, width = 300, step = 23, height = step * ordered.length;
    const at = (value) => left + (width * (value - low)) / (1 - low || 1);
    const svg = element("svg:svg", { viewBox: `0 0 ${left + width + 56} ${height + 24}`, width: left + width + 56, height: height + 24 });
    const every = low > 0.35 ? 1 : 2;
    for (let tenth = Math.round(low * 10); tenth <= 10; tenth += every) {
      const x = at(tenth / 10);
      svg.append(element("svg:line", { class: "grid", x1: x, x2: x, y1: 0, y2: height }),
        element("svg:text", { x, y: height + 16, "text-anchor": "middle" }, (tenth / 10).toFixed(1)));
    }
    ordered.forEach((row, i) => {
      const y = step * i + step / 2;
      svg.append(element("svg:text", { x: left - 10, y: y + 4, "text-anchor": "end" }, all.languages[row.lang][0]),
        element("svg:line", { class: row.mark ? "join real" : "join", x1: at(row.a), x2: at(row.b), y1: y, y2: y }),
        element("svg:circle", { class: "a", cx: at(row.a), cy: y, r: 4.4 }),
        element("svg:rect", { class: "b", x: at(row.b) - 4, y: y - 4, width: 8, height: 8 }),
        element("svg:text", { class: row.mark ? "" : "faint", x: at(Math.max(row.a, row.b)) + 9, y: y + 4 }, signed(row.difference)));
    });
    return figure(`Mean ${measure} by language`, words, svg);
  };

  const short = (name) => (name.length > 40 ? `${name.slice(0, 39)}…` : name);
  const scatter = (tested, measure, names, words) => {
    const counts = new Map();
    for (const { topics } of tested) topics.a.forEach((a, i) => {
      const b = topics.b[i], key = [Math.round(a * 20) / 20, Math.round(b * 20) / 20, Math.sign(topics.d[i])].join();
      counts.set(key, (counts.get(key) ?? 0) + 1);
    });
    const side = 300, most = Math.max(...counts.values());
    const svg = element("svg:svg", { viewBox: "-60 -16 382 366", width: 382, height: 366 });
    for (const tick of [0, 0.25, 0.5, 0.75, 1]) {
      const v = tick * side;
      svg.append(element("svg:line", { class: "grid", x1: v, x2: v, y1: 0, y2: side }), element("svg:line", { class: "grid", x1: 0, x2: side, y1: v, y2: v }),
        element("svg:text", { x: v, y: side + 26, "text-anchor": "middle" }, String(tick)),
        element("svg:text", { x: -16, y: side - v + 4, "text-anchor": "end" }, String(tick)));
    }
    svg.append(element("svg:path", { class: "diagonal", d: `M0 ${side}L${side} 0` }),
      element("svg:text", { x: side / 2, y: side + 46, "text-anchor": "middle" }, `A: ${short(names[0])}`),
      element("svg:text", { transform: `translate(-48 ${side / 2}) rotate(-90)`, "text-anchor": "middle" }, `B: ${short(names[1])}`));
    for (const [key, count] of [...counts].sort((p, q) => q[1] - p[1])) {
      const [a, b, sign] = key.split(",").map(Number);
      svg.append(element("svg:circle", { class: sign > 0 ? "w" : sign < 0 ? "l" : "t", cx: a * side, cy: side - b * side, r: 1.8 + 13 * Math.sqrt(count / most) }));
    }
    return figure(`${measure} of each topic`, words, svg);
  };

  const table = (all, found, measure) => {
    const languages = $("choose").dataset.languages;
    const p = (value) => (value === undefined ? "–" : value < 0.00005 ? "< 0.0001" : value.toFixed(4));
    const some = found.tested.length > 0;
    const columns = (texts) => texts.map((text) => element("th", { scope: "col" }, text));
    const head = element("tr", {}, ...columns(some ? ["Language", "Topics"] : ["Language"]),
      element("th", { scope: "col" }, shape("a"), "A"), element("th", { scope: "col" }, shape("b"), "B"), ...columns(["A \u2212 B"]),
      ...columns(some ? ["Wins", "Ties", "Losses", "t test p", "Holm"] : []));
    const body = found.rows.map((row) => {
      const t = row.topics, tests = t ? [row.wins, t.d.length - row.wins - row.losses, row.losses].map(String) : ["–", "–", "–"];
      return element("tr", { class: row.mark ? "real" : null },
        element("th", { scope: "row", class: "left" }, element("a", { href: `${languages}${encodeURIComponent(row.lang)}.html` }, all.languages[row.lang][0])),
        some ? cell(t ? String(t.d.length) : "–") : null, cell(fixed(row.a, 4)), cell(fixed(row.b, 4)),
        cell(signed(row.difference, 4) + (row.mark ?? ""), { class: row.mark ? "best" : null }),
        ...(some ? [...tests.map((text) => cell(text)), cell(p(row.p)), cell(found.board ? (row.mark ? "< 0.05" : "\u2265 0.05") : found.several ? "\u2013" : p(row.holm), { class: row.mark ? "best" : null })] : []));
    });
    return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Differences by language" },
      element("table", { class: "stuck tests" }, element("thead", {}, head), element("tbody", {}, ...body)),
      element("p", { class: "quiet legend" }, found.tested.length
        ? `${measure}. Topic-level scores are rounded to ${1 / all.steps} here, and equal scores are a tie. ` + (found.several
          ? "These systems were trained with several seeds: mdrbench compare counts them."
          : `* p is below ${$("choose").dataset.alpha} in the paired t test after Holm\u2019s correction over ${found.board ? all.family[measure] : "the languages of this pair"}. \u2020 the same, but in topics alone: a system was trained here with too few seeds.`)
        : `${measure}. No tests: ${found.one.measured && found.other.measured ? "the two have no topic-level scores on the same topics and to the same depth" : "published figures have no topic-level scores"}.`));
  };

  const moved = async (all, found) => {
    const every = found.tested.flatMap((row) => row.topics.d.map((d, i) => ({ row, i, d })).filter((m) => m.d !== 0));
    every.sort((p, q) => Math.abs(q.d) - Math.abs(p.d) || (p.row.lang < q.row.lang ? -1 : p.row.lang > q.row.lang ? 1 : p.i - q.i));
    const most = every.slice(0, MOST);
    if (!most.length) return null;
    const queries = new Map();
    await Promise.all([...new Set(most.map((m) => m.row.topics.key))].map(async (key) => queries.set(key, await topicsOf(key).catch(() => []))));
    const head = element("tr", {}, element("th", { scope: "col" }, "Language"), element("th", { scope: "col", class: "left" }, "Query"),
      element("th", { scope: "col" }, shape("a"), "A"), element("th", { scope: "col" }, shape("b"), "B"), element("th", { scope: "col" }, "A \u2212 B"));
    const body = most.map(({ row, i, d }) => {
      const [qid, query] = queries.get(row.topics.key)[i] ?? ["", ""];
      return element("tr", {}, element("td", {}, element("abbr", { title: all.languages[row.lang][0] }, row.lang)),
        element("th", { scope: "row", class: "left query" }, foreign(all, row.lang, query), " ", element("small", { class: "docid" }, element("bdi", {}, qid))),
        cell(fixed(row.topics.a[i])), cell(fixed(row.topics.b[i])), cell(signed(d)));
    });
    return element("section", {}, element("h2", {}, "The topics that moved most"),
      element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "The topics that moved most" },
        element("table", { class: "topics" }, element("thead", {}, head), element("tbody", {}, ...body))));
  };

  // -- the page ---------------------------------------------------------------------------------------------------------------
  const fill = (select, options) => select.replaceChildren(...options);
  const choices = (all) => ["Measured", "Published"].flatMap((label) => {
    const slugs = Object.keys(all.systems).filter((slug) => all.systems[slug].measured === (label === "Measured"));
    slugs.sort((p, q) => all.systems[p].name.localeCompare(all.systems[q].name, "en") || (p < q ? -1 : 1));
    if (!slugs.length) return [];
    return [element("optgroup", { label }, ...slugs.map((slug) => element("option", { value: slug }, all.systems[slug].source ? `${all.systems[slug].name} (${all.systems[slug].source})` : all.systems[slug].name)))];
  });

  let turn = 0;
  const show = async (all) => {
    const mine = ++turn;
    const [a, b, measure] = ["a", "b", "measure"].map((id) => $(id).value);
    const found = await compare(all, a, b, measure);
    const names = [found.one.name, found.other.name];
    const said = $("said"), place = $("compared");
    if (!found.rows.length) {
      if (mine !== turn) return;
      said.textContent = `No language has ${measure} for both systems.`;
      place.replaceChildren();
      return;
    }
    const average = mean(found.rows.map((row) => row.difference));
    const count = found.rows.length === 1 ? "1 language" : `${found.rows.length} languages`;
    const ahead = found.rows.filter((row) => row.difference > 0).length, behind = found.rows.filter((row) => row.difference < 0).length;
    const real = found.rows.filter((row) => row.mark).length;
    const words = `A (${names[0]}) is better in ${ahead} and B (${names[1]}) in ${behind} of ${count}.`;
    const parts = [figureGrid(all, found, measure, words), element("h2", {}, "By language"), table(all, found, measure), await moved(all, found)];
    if (mine !== turn) return;
    said.textContent = `Average of ${count}: ${measure} ${fixed(mean(found.rows.map((r) => r.a)))} against ${fixed(mean(found.rows.map((r) => r.b)))}, a difference of ${signed(average)}. ${words}`
      + (found.tested.length ? ` ${real} of ${found.tested.length} tested differences ${real === 1 ? "has" : "have"} a mark (* or \u2020).` : "")
      + (found.average === null ? "" : ` The averages ${found.average ? `differ significantly${found.average === "*" ? "" : ", in topics alone"}` : "do not differ significantly"}.`);
    const page = [a, b].sort().join("--") + ".html";
    if (all.pairs.includes(page)) parts.unshift(element("p", {}, element("a", { href: page }, "Page of this pair, with the topics that make the difference")));
    place.replaceChildren(...parts.filter(Boolean));
  };
  const figureGrid = (all, found, measure, words) => {
    const grid = element("div", { class: "pictures" }, dumbbell(all, found.rows, measure, words));
    if (found.tested.length) {
      const sum = (pick) => found.tested.reduce((total, row) => total + pick(row), 0);
      const wins = sum((row) => row.wins), losses = sum((row) => row.losses), total = sum((row) => row.topics.d.length);
      grid.append(scatter(found.tested, measure, [found.one.name, found.other.name], `Of ${total} topics A scores higher on ${wins}, B on ${losses}, and ${total - wins - losses} are equal.`));
    }
    return grid;
  };

  const start = async () => {
    const form = $("choose");
    const all = await load("systems", "", "systems.js");
    const known = (slug) => slug && Object.hasOwn(all.systems, slug);
    fill($("a"), choices(all)); fill($("b"), choices(all));
    fill($("measure"), all.measures.map((name) => element("option", { value: name }, name)));
    const first = $("a").options;
    const share = (a, b, measure) => {
      const [one, other] = [a, b].map((slug) => all.systems[slug].means[measure] ?? {});
      return Object.keys(one).some((lang) => lang in other);
    };
    const restore = () => {
      const asked = new URLSearchParams(location.hash.slice(1));
      $("a").value = known(asked.get("a")) ? asked.get("a") : first[0].value;
      const another = [...first].find((option) => option.value !== $("a").value && share($("a").value, option.value, all.measures[0])) ?? first[0];
      $("b").value = known(asked.get("b")) ? asked.get("b") : another.value;
      $("measure").value = all.measures.includes(asked.get("m")) ? asked.get("m") : all.measures[0];
    };
    const note = () => {
      const state = new URLSearchParams({ a: $("a").value, b: $("b").value });
      if ($("measure").value !== all.measures[0]) state.set("m", $("measure").value);
      history.replaceState(null, "", `#${state}`);
    };
    const offer = () => { // offer only measures that both have in a common language
      for (const option of $("measure").options) option.disabled = !share($("a").value, $("b").value, option.value);
    };
    const changed = () => { note(); offer(); show(all); };
    form.hidden = false;
    for (const id of ["a", "b", "measure"]) $(id).addEventListener("change", changed);
    $("swap").addEventListener("click", () => { [$("a").value, $("b").value] = [$("b").value, $("a").value]; changed(); });
    form.addEventListener("submit", (event) => event.preventDefault());
    addEventListener("hashchange", () => { restore(); offer(); show(all); });
    restore();
    offer();
    show(all);
  };

  if ($("choose")) start().catch((error) => { $("said").textContent = `${error.message} cannot be loaded.`; });
  else { reveal(); addEventListener("hashchange", reveal); }
})();
