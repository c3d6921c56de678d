// Pages, filters, and what is drawn of many problems.
const DIMENSIONS = ["execution", "constraint", "objective", "granularity", "size", "platform"];
const CERTAIN = 0.05;
const MOST_LINES = 8; // that a figure begins with
let report = null, classes = "execution", drawn = new Set();
const chosen = Object.fromEntries(DIMENSIONS.map((name) => [name, ""]));

const selected = () => report.problems.filter((problem) => DIMENSIONS.every((name) => !chosen[name] || problem[name].includes(chosen[name])));
const valuesOf = (name) => [...new Set(report.problems.flatMap((problem) => problem[name]))].sort();

function makeFilters() {
  const form = document.getElementById("filters");
  form.addEventListener("submit", (event) => event.preventDefault());
  form.replaceChildren(...DIMENSIONS.map((name) => {
    const select = element("select", { name, onchange: () => { chosen[name] = select.value; show(); } },
      element("option", { value: "" }, "all"), ...valuesOf(name).map((value) => element("option", { value }, value)));
    return element("label", {}, name === "size" ? "size (layers × devices)" : name, select);
  }), element("output", { id: "count" }),
  element("button", { type: "reset", onclick: () => { DIMENSIONS.forEach((name) => { chosen[name] = ""; }); setTimeout(show); } }, "Clear"));
}

function drawPending() { while (pending.length) pending.shift()(); }

function answerOf(found, problems) {
  const { first, order, rows } = found;
  if (!first) return [element("p", {}, "No run is of such a problem: choose other filters.")];
  const lines = [], next = order.find((row) => row.best < first.best) || order[1], count = problems.length;
  const gap = (row) => (row.gap === null ? "unknown" : percent(row.gap));
  const equal = order.filter((row) => row.best === first.best).slice(1), after = order[equal.length + 1];
  const beside = equal.length ? `${equal.length > 1 && equal.length <= 3 ? ", " : " and "}${equal.length > 3 ? `${equal.length} others` : equal.map((row) => row.name).join(" and ")} have the best plan most often: each` : " has the best plan most often:";
  lines.push(element("p", {}, element("strong", {}, first.name), `${beside} on ${counted(first.best, count)}`
    + `${equal.length ? `; of these it ${first.proved ? "has proved most, or soonest" : "is the quickest"}` : ""}${after ? `. Then comes ${after.name}, on ${counted(after.best, count)}` : ""}.`));
  if (next) {
    const sure = next.test.wins + next.test.losses === 0 ? "no difference at all" : `${chance(next.p)}, ${next.p <= CERTAIN ? "beyond chance" : "which may be chance"}`;
    lines.push(element("p", {}, `By how much: its plans are ${gap(first)} above the best known on average, those of ${next.name} ${gap(next)}. `
      + `How sure: against ${next.name} it is better on ${next.test.wins}, as good on ${next.test.ties} and worse on ${next.test.losses} (${sure}).`));
    const clear = rows.filter((row) => row !== first && row.p <= CERTAIN && row.test.wins > row.test.losses).length;
    lines.push(element("p", {}, `It is better beyond chance than ${clear} of ${rows.length - 1} other methods.`));
  }
  const prover = order.reduce((most, row) => (row.proved > most.proved ? row : most), first);
  if (prover.proved) lines.push(element("p", {}, `Most proofs: ${prover.name}, on ${counted(prover.proved, count)}.`));
  return lines;
}

function methodTable(found, problems) {
  const share = (key) => [(row) => `${row[key]} (${Math.round((100 * row[key]) / row.problems)} %)`, (row) => row[key] / row.problems];
  const columns = [["method", false, (row) => row.name], ["problems", true, (row) => row.problems], ["best plan", true, ...share("best")], ["plan", true, ...share("plans")], ["proved", true, ...share("proved")], ["within 1 %", true, ...share("within")],
    ["mean gap", true, (row) => percent(row.gap), (row) => row.gap], ["primal integral", true, (row) => percent(row.integral), (row) => row.integral], ["mean time", true, (row) => duration(row.seconds), (row) => row.seconds],
    ["memory", true, (row) => quantity(row.memory, "bytes", 3), (row) => row.memory], ["failed", true, (row) => row.failed],
    [`${found.first.name}: better / as good / worse`, true, (row) => (row.test ? `${row.test.wins} / ${row.test.ties} / ${row.test.losses}` : ""), (row) => (row.test ? row.test.wins - row.test.losses : null)],
    ["p", true, (row) => (row.test ? row.p.toPrecision(2) : ""), (row) => row.p]];
  return tableOf("methods", columns, found.rows.length > 1 ? [...found.order, virtualBest(problems)] : found.order, { isBest: (row) => row === found.first });
}

function classTable(problems) {
  const rows = valuesOf(classes).map((value) => {
    const own = problems.filter((problem) => problem[classes].includes(value)), found = own.length ? summarise(report.methods, own) : { first: null, order: [] };
    return { value, own, ...found };
  }).filter((row) => row.first);
  const columns = [[classes, false, (row) => row.value], ["problems", true, (row) => row.own.length], ["best method", false, (row) => row.first.name], ["best plan on", true, (row) => counted(row.first.best, row.own.length)],
    ["mean gap", true, (row) => percent(row.first.gap), (row) => row.first.gap], ["next", false, (row) => (row.order[1] ? row.order[1].name : "")], ["its mean gap", true, (row) => (row.order[1] ? percent(row.order[1].gap) : "")],
    ["better / as good / worse", true, (row) => (row.order[1] ? `${row.order[1].test.wins} / ${row.order[1].test.ties} / ${row.order[1].test.losses}` : "")], ["p", true, (row) => (row.order[1] ? row.order[1].p.toPrecision(2) : "")]];
  return element("section", {}, element("h2", {}, "Who is best where"), pick("Classes by", DIMENSIONS.map((name) => [name, name]), classes, (given) => { classes = given; show(); }), tableOf(`best by ${classes}`, columns, rows));
}

const stepLine = (index, x, y, extra = {}) => { const { name, place } = report.methods[index]; return { x, y, mode: "lines", name, line: { shape: "hv", color: colour(place), dash: dash(place), width: 2 }, ...extra }; };

// Colours go by rank, so that the methods of which figures are first have colours of their own.
function rankMethods() {
  const { order } = summarise(report.methods, report.problems);
  report.methods.forEach((method) => { method.place = report.methods.length; });
  order.forEach((row, place) => { report.methods[row.index].place = place; });
  drawn = new Set(order.slice(0, MOST_LINES).map((row) => row.index));
}

function profileChart(problems, rows) {
  const ratios = rows.map(() => []), shared = problems.filter((problem) => rows.every((row) => problem.cells[row.index]) && problem.best !== null);
  for (const problem of shared) {
    const values = rows.map((row) => { const gap = gapTo(problem.cells[row.index][1], problem.best); return gap === null ? Infinity : 1 + gap; }), least = Math.min(...values);
    values.forEach((one, place) => ratios[place].push(Number.isFinite(least) ? one / least : Infinity));
  }
  const largest = Math.max(1.1, ...ratios.flat().filter(Number.isFinite)) * 1.1;
  const traces = rows.map((row, place) => {
    const finite = ratios[place].filter(Number.isFinite).sort((a, b) => a - b), x = [1], y = [0];
    finite.forEach((ratio, index) => { x.push(Math.max(1, ratio)); y.push((100 * (index + 1)) / shared.length); });
    return stepLine(row.index, [...x, largest], [...y, y.at(-1)], { hovertemplate: "%{y:.0f} % within %{x:.3g} times the best<extra>%{fullData.name}</extra>" });
  });
  return chart("Performance profile", traces, { xaxis: { type: "log", title: { text: "value, times the best method's" } }, yaxis: { title: { text: "problems (%)" }, range: [0, 102] } },
    { note: `Share of the ${shared.length} problems that all of these methods ran on, within a factor of the best of them: higher is better.` });
}

function proofChart(problems, rows) {
  const traces = rows.map((row) => {
    const times = problems.map((problem) => problem.cells[row.index]).filter(isProved).map((cell) => Math.max(cell[3] || 0, 1e-3)).sort((a, b) => a - b);
    return times.length ? stepLine(row.index, [1e-3, ...times], [0, ...times.map((_, index) => (100 * (index + 1)) / row.problems)], { hovertemplate: "%{y:.0f} % proved in %{x:.3g} s<extra>%{fullData.name}</extra>" }) : null;
  }).filter(Boolean);
  if (!traces.length) return null;
  return chart("Proved over time", traces, { xaxis: { type: "log", title: { text: "time (s)" } }, yaxis: { title: { text: "problems (%)" }, range: [0, 102] } }, { note: "Share of its problems that a method has solved to proof." });
}

function anytimeChart(problems, rows) {
  const known = problems.filter((problem) => problem.best !== null);
  const end = Math.max(1e-2, ...known.flatMap((problem) => problem.cells.filter(Boolean).map((cell) => cell[3] || 0)));
  const times = Array.from({ length: 50 }, (_, index) => 1e-3 * (end / 1e-3) ** (index / 49));
  const gapAt = (cell, best, time) => {
    let objective = null;
    for (const point of cell[7]) if (point[0] <= time && point[1] !== null) objective = point[1];
    if (objective === null && !cell[7].some((point) => point[1] !== null) && (cell[3] || 0) <= time) objective = cell[1];
    if (objective === null) return 1;
    return objective === best ? 0 : objective * best < 0 ? 1 : Math.abs(objective - best) / Math.max(Math.abs(objective), Math.abs(best));
  };
  const traces = rows.map((row) => {
    const own = known.filter((problem) => problem.cells[row.index]);
    return stepLine(row.index, times, times.map((time) => (100 * own.reduce((sum, problem) => sum + gapAt(problem.cells[row.index], problem.best, time), 0)) / own.length),
      { hovertemplate: "mean primal gap %{y:.3g} % after %{x:.3g} s<extra>%{fullData.name}</extra>" });
  });
  return chart("How soon plans are good", traces, { xaxis: { type: "log", title: { text: "time (s)" } }, yaxis: { title: { text: "mean primal gap (%)" }, range: [0, 102] } },
    { note: "Primal gap to the best known plan (100 % without a plan), mean over the problems; the area below is the primal integral." });
}

function gapChart(problems, rows) {
  const cells = problems.map((problem) => rows.map((row) => { const cell = problem.cells[row.index]; return cell ? gapTo(cell[1], problem.best) : null; }));
  const z = cells.map((line) => line.map((gap) => (gap === null || !Number.isFinite(gap) ? null : Math.log10(Math.max(100 * gap, 0.01)))));
  const text = cells.map((line) => line.map((gap) => (gap === null ? "no plan" : `${percent(gap)} above the best known`)));
  const names = rows.map((row) => row.name), height = 190 + (problems.length > 100 ? 13 : 16) * problems.length, narrow = document.documentElement.clientWidth < 30 * rows.length;
  return chart("Gaps by problem", [{ type: "heatmap", x: names, y: problems.map((problem) => problem.name), z, text, zmin: -2, zmax: 3, xgap: 1, ygap: 1, colorscale: "Viridis", reversescale: document.documentElement.dataset.theme === "dark", // what is worse is nearer to the background
    colorbar: { tickvals: [-2, -1, 0, 1, 2, 3], ticktext: ["0", "0.1 %", "1 %", "10 %", "100 %", "10×"], thickness: 10, lenmode: "pixels", len: 260, y: 1, yanchor: "top" }, hovertemplate: "%{y} by %{x}: %{text}<extra></extra>" }],
  { xaxis: { tickangle: narrow ? -90 : -45, side: "top", type: "category", dtick: 1, tickfont: { size: narrow ? 9 : 10 } }, yaxis: { autorange: "reversed", type: "category", dtick: 1, tickfont: { size: 9 } } },
  { height, note: "Empty: no plan. A click opens the problem.", onclick: (event) => { location.hash = `#/problem/${encodeURIComponent(event.points[0].y)}`; } });
}

function scalingChart(problems, rows) {
  const traces = rows.map((row) => {
    const own = problems.filter((problem) => isProved(problem.cells[row.index]));
    return own.length ? { x: own.map((problem) => problem.layers * problem.devices.length), y: own.map((problem) => Math.max(problem.cells[row.index][3] || 0, 1e-3)), text: own.map((problem) => problem.name), mode: "markers", name: row.name,
      marker: { color: colour(report.methods[row.index].place), size: 7, opacity: 0.75 }, hovertemplate: "%{text}: %{y:.3g} s<extra>%{fullData.name}</extra>" } : null;
  }).filter(Boolean);
  if (!traces.length) return null;
  return chart("Time to proof over size", traces, { xaxis: { type: "log", title: { text: "layers × devices" } }, yaxis: { type: "log", title: { text: "time to proof (s)" } } }, { note: "Each dot is a problem that is proved." });
}

function overview(problems) {
  if (report.variants) return variantsPage(problems);
  const found = summarise(report.methods, problems);
  const page = [element("h1", {}, "Who is best where, by how much, how sure"), element("div", { class: "answer", id: "answer", "aria-live": "polite" }, ...answerOf(found, problems))];
  if (!found.first) return page;
  return [...page, ranNote(), element("h2", {}, "Methods"), methodTable(found, problems), element("p", { class: "note" }, "Mean gap: shifted geometric mean (1 %) of gaps to the best known values, over problems with a plan. Mean time: shifted by 1 s. Memory: the median of what runs took at most. Virtual best: of each problem the best plan of all, by the quickest that has it. p: Wilcoxon's signed-rank test against the first, corrected by Holm. ", element("a", { href: "#/about" }, "Definitions")),
    classTable(problems), figures(problems, found.order), gapChart(problems, found.order)];
}

// Figures of lines, of the methods that are chosen above them.
function figures(problems, order) {
  const holder = element("div", { class: "charts" }), summary = element("summary");
  const draw = () => {
    for (const place of holder.querySelectorAll(".plot")) Plotly.purge(place);
    const rows = order.filter((row) => drawn.has(row.index));
    summary.textContent = `Methods in these figures: ${rows.length} of ${order.length}`;
    holder.replaceChildren(...(rows.length ? [profileChart(problems, rows), anytimeChart(problems, rows), proofChart(problems, rows), scalingChart(problems, rows)].filter(Boolean) : []));
  };
  draw();
  if (order.length <= MOST_LINES) return holder;
  const boxes = order.map((row) => element("input", { type: "checkbox", onchange: (event) => { drawn[event.target.checked ? "add" : "delete"](row.index); draw(); drawPending(); } }));
  const mark = () => boxes.forEach((box, place) => { box.checked = drawn.has(order[place].index); });
  const choose = (rows) => { drawn = new Set(rows.map((row) => row.index)); mark(); draw(); drawPending(); };
  const button = (words, rows) => element("button", { type: "button", onclick: () => choose(rows) }, words);
  mark();
  return element("section", {}, element("h2", {}, "Figures"), element("details", { class: "chosen" }, summary, element("p", {}, button(`The first ${MOST_LINES}`, order.slice(0, MOST_LINES)), " ", button("All", order), " ", button("None", [])),
    element("div", { class: "boxes" }, ...order.map((row, place) => element("label", {}, boxes[place], row.name)))), holder);
}

function problemList(problems) {
  const link = (problem) => element("a", { href: `#/problem/${encodeURIComponent(problem.name)}` }, problem.title);
  const columns = [["problem", false, (problem) => problem.title, (problem) => problem.title, link], ["execution", false, (problem) => problem.execution.join(", ")], ["objectives", false, (problem) => problem.objective.join(", ")],
    ["constraints", false, (problem) => problem.constraint.join(", ")], ["layers", true, (problem) => problem.layers], ["devices", true, (problem) => problem.devices.length], ["platform", false, (problem) => problem.platform.join(", ")],
    ["best known", true, (problem) => quantity(problem.best, problem.unit), (problem) => problem.best], ["proved by", true, (problem) => problem.cells.filter(isProved).length], ["best by", false, (problem) => problem.best_by]];
  return [element("h1", {}, "Problems"), tableOf("problems", columns, problems, { tall: true })];
}

function show(moved = false) {
  const main = document.getElementById("main"), [, page = "", name = ""] = location.hash.split("/");
  for (const place of main.querySelectorAll(".plot")) Plotly.purge(place);
  pending.length = 0;
  const problems = selected(), problem = page === "problem" ? report.problems.find((one) => one.name === decodeURIComponent(name)) : null;
  document.getElementById("filters").hidden = page === "problem" || page === "about" || report.problems.length < 2 || Boolean(report.variants);
  document.getElementById("count").textContent = `${problems.length} of ${report.problems.length} problems`;
  const made = problem ? problemPage(report, problem) : page === "formulations" ? formulationsPage(problems) : page === "approaches" && report.approaches ? approachesPage(problems) : page === "problems" || page === "problem" ? problemList(problems)
    : page === "about" ? aboutPage() : report.problems.length === 1 ? problemPage(report, report.problems[0]) : overview(problems);
  main.replaceChildren(...made.filter(Boolean));
  for (const link of document.querySelectorAll("nav a")) { if (link.hash === `#/${page === "problem" ? "problems" : page}`) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current"); }
  drawPending();
  if (moved === true) { main.focus({ preventScroll: true }); scrollTo(0, 0); }
}

async function unpacked(id) {
  const holder = document.getElementById(id), bytes = Uint8Array.from(atob(holder.textContent.trim()), (letter) => letter.charCodeAt(0));
  holder.remove();
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

function setTheme(theme) { document.documentElement.dataset.theme = theme; if (report) show(); }

async function start() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  setTheme(dark.matches ? "dark" : "light");
  dark.addEventListener("change", () => setTheme(dark.matches ? "dark" : "light"));
  document.getElementById("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
  const [plotly, data] = await Promise.all([unpacked("plotly-data"), unpacked("report-data")]);
  document.head.append(Object.assign(document.createElement("script"), { textContent: plotly }));
  report = JSON.parse(data);
  rankMethods();
  document.querySelector("nav a[href='#/approaches']").hidden = !report.approaches;
  makeFilters();
  addEventListener("hashchange", () => show(true));
  show();
  document.documentElement.dataset.ready = "yes";
}

start().catch((error) => { document.getElementById("main").textContent = `The page cannot be shown: ${error.message}`; throw error; });
