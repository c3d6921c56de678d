// Pages beside the answer: formulations, and what these runs are.
function formulationsPage(problems) {
  const some = report.methods.map((method, index) => ({ ...method, index })).filter((one) => one.formulation);
  const relaxed = relaxationSection(problems), page = [element("h1", {}, "Formulations")];
  if (!some.length) return [...page, ...(relaxed || [element("p", {}, "No run asked for a formulation (bench --formulation, or formulations --over for linear relaxations).")])];
  const gapOf = (problem, index) => { const cell = problem.cells[index]; if (!cell || cell[2] === null || problem.best === null || problem.best === 0) return null; const gap = (problem.best - cell[2]) / Math.abs(problem.best); return gap > SAME ? gap : 0; };
  const rows = some.map((one) => {
    const ran = problems.filter((problem) => problem.cells[one.index]), gaps = ran.map((problem) => gapOf(problem, one.index)).filter((gap) => gap !== null), cells = ran.map((problem) => problem.cells[one.index]);
    return { ...one, ran: ran.length, gaps, proved: cells.filter(isProved).length, gap: shiftedMean(gaps, 0.01), seconds: shiftedMean(cells.map((cell) => cell[3]).filter((given) => given !== null), 1), refused: cells.filter((cell) => cell[0] === "error").length };
  }).filter((row) => row.ran);
  const columns = [["formulation", false, (row) => row.formulation], ["solver", false, (row) => row.solver], ["problems", true, (row) => row.ran], ["proved", true, (row) => counted(row.proved, row.ran), (row) => row.proved / row.ran],
    ["mean gap of its bound", true, (row) => percent(row.gap), (row) => row.gap], ["mean time", true, (row) => duration(row.seconds), (row) => row.seconds], ["refused or failed", true, (row) => row.refused]];
  const boxes = rows.map((row) => ({ type: "box", name: row.name, x: row.gaps.map((gap) => 100 * gap), boxpoints: "all", jitter: 0.4, marker: { color: colour(report.methods[row.index].place), size: 4 }, line: { width: 1 } }));
  return [...page, tableOf("formulations", columns, rows), element("div", { class: "charts" }, chart("Bounds at the end", boxes, { xaxis: { title: { text: "bound below the best known value (%)" } }, showlegend: false }, { height: 160 + 50 * boxes.length, note: "How far the bound of each run is below the best known value." }), proofChart(problems, rows.map((row) => ({ ...row, problems: row.ran })))), ...(relaxed || [])];
}

// How far the linear relaxation of each formulation is below the best known values.
function relaxationSection(problems) {
  const names = [...new Set(report.problems.flatMap((problem) => Object.keys(problem.relaxations)))];
  const rows = names.map((name, place) => {
    const ran = problems.map((problem) => problem.relaxations[name]).filter(Boolean), solved = ran.filter((one) => one[0] !== null), gaps = solved.map((one) => one[2]).filter((gap) => gap !== null);
    return { name, place, ran: ran.length, solved: solved.length, gaps, tight: gaps.filter((gap) => gap === 0).length, mean: shiftedMean(gaps, 0.01), median: median(gaps), worst: gaps.length ? Math.max(...gaps) : null, seconds: median(solved.map((one) => one[1])) };
  }).filter((row) => row.ran);
  if (!rows.length) return null;
  const shared = problems.filter((problem) => rows.every((row) => (problem.relaxations[row.name] || [])[2] !== undefined && problem.relaxations[row.name][2] !== null));
  for (const row of rows) row.shared = shiftedMean(shared.map((problem) => problem.relaxations[row.name][2]), 0.01);
  const share = (key) => [(row) => percent(row[key]), (row) => row[key]];
  const columns = [["formulation", false, (row) => row.name], ["problems", true, (row) => row.ran], ["solved", true, (row) => counted(row.solved, row.ran), (row) => row.solved / row.ran],
    ["tight", true, (row) => (row.gaps.length ? counted(row.tight, row.gaps.length) : ""), (row) => row.tight / row.gaps.length], ["mean gap", true, ...share("mean")], ["median gap", true, ...share("median")], ["worst gap", true, ...share("worst")],
    [`mean gap, ${shared.length} shared problems`, true, ...share("shared")],
    ["median time", true, (row) => duration(row.seconds), (row) => row.seconds]];
  const boxes = rows.map((row) => ({ type: "box", name: row.name, x: row.gaps.map((gap) => 100 * gap), boxpoints: "all", jitter: 0.4, marker: { color: colour(row.place), size: 4 }, line: { width: 1 } }));
  return [element("h2", {}, "Linear relaxations"), element("p", { class: "note" }, "Gap: how far the optimum without whole numbers is below the best known value, relative to that; tight: not at all. Formulations support different problems: the shared ones are those of which all of these have a gap."),
    tableOf("linear relaxations", columns, rows), chart("Relaxations below the best known values", boxes, { xaxis: { title: { text: "gap (%)" } }, yaxis: { autorange: "reversed" }, showlegend: false }, { height: 140 + 50 * boxes.length, note: "Each dot is a problem." })];
}

// Variants of one problem: which has the best plan.
function variantsPage(problems) {
  const link = (problem) => element("a", { href: `#/problem/${encodeURIComponent(problem.name)}` }, problem.title), cell = (problem) => problem.cells[0];
  const columns = [["variant", false, (problem) => problem.title, (problem) => problem.title, link], ["status", false, (problem) => (cell(problem)[0] === "error" ? "refused" : STATUS[cell(problem)[0]] || cell(problem)[0])],
    ["value", true, (problem) => quantity(cell(problem)[1], problem.unit, 6), (problem) => cell(problem)[1]], ["bound", true, (problem) => quantity(cell(problem)[2], problem.unit, 6), (problem) => cell(problem)[2]],
    ["time", true, (problem) => duration(cell(problem)[3]), (problem) => cell(problem)[3]], ["found by", false, (problem) => cell(problem)[4]], ["message", false, (problem) => cell(problem)[8]]];
  return [element("h1", {}, "Variants"), element("div", { class: "answer", id: "answer" }, element("p", {}, report.variants.headline)), tableOf("variants", columns, problems, { isBest: (problem) => problem.name === report.variants.best })];
}

// Published approaches: their gaps over the chosen problems, and what else their authors report over all of theirs.
function approachesPage(problems) {
  const names = new Set(problems.map((problem) => problem.name)), whole = DIMENSIONS.every((name) => !chosen[name]);
  const rows = report.approaches.map((one) => {
    const gaps = Object.entries(one.gaps).filter(([name]) => whole || names.has(name)).map(([, gap]) => gap), found = gaps.filter((gap) => gap !== null);
    const mean = found.length ? found.reduce((sum, gap) => sum + gap, 0) / found.length : null;
    return { ...one, served: gaps.length, found, plan: found.length, near: found.filter((gap) => gap <= 0.01).length, middle: median(found), average: mean, largest: found.length ? Math.max(...found) : null };
  }).filter((row) => row.served);
  const page = [element("h1", {}, "Published approaches"), element("p", { class: "note" }, "Each approach's own algorithm on the problems that it serves, as it sees them; its plans are judged on the whole problem. Approaches serve different problems: compare those of one kind, which the filters choose. Gap: above the best known value.")];
  if (!rows.length) return [...page, element("p", {}, "No approach serves such a problem: choose other filters.")];
  rows.sort((a, b) => b.near / b.served - a.near / a.served || last(a.middle) - last(b.middle));
  const share = (key) => [(row) => counted(row[key], row.served), (row) => row[key] / row.served], gap = (key) => [(row) => percent(row[key]), (row) => row[key]];
  const times = (key) => [(row) => (row[key] === null ? "" : `${shortNumber(row[key], 3)}×`), (row) => row[key]], label = (row) => (row.year ? `${row.title} (${row.year})` : row.title);
  const columns = [["approach", false, label], ["problems", true, (row) => row.served], ["plan", true, ...share("plan")], ["within 1 %", true, ...share("near")], ["median gap", true, ...gap("middle")], ["mean gap", true, ...gap("average")], ["worst gap", true, ...gap("largest")]];
  const more = [["approach", false, label], ["problems", true, (row) => row.problems], ["time", true, (row) => duration(row.seconds), (row) => row.seconds], ["all local", true, ...times("local")], ["all remote", true, ...times("remote")],
    ["energy", true, ...times("energy")], ["traffic", true, (row) => quantity(row.traffic, "bytes", 3), (row) => row.traffic], ["memory", true, (row) => quantity(row.memory, "bytes", 3), (row) => row.memory], ["cost", true, (row) => quantity(row.cost, "USD", 3), (row) => row.cost],
    ["regret", true, ...gap("regret")], ["layers", true, (row) => row.layers || ""], ["devices", true, (row) => row.devices || ""]];
  const shown = rows.filter((row) => row.found.length), boxes = shown.map((row) => ({ type: "box", name: row.approach, x: row.found.map((one) => Math.max(100 * one, 0.01)), boxpoints: "outliers", marker: { color: colour(0), size: 3 }, line: { width: 1 } }));
  return [...page, tableOf("approaches", columns, rows),
    shown.length ? chart("Gaps of approaches", boxes, { xaxis: { type: "log", title: { text: "gap (%), 0.01 stands for less" } }, yaxis: { autorange: "reversed", tickfont: { size: 10 }, dtick: 1 }, showlegend: false }, { height: 110 + 22 * boxes.length, note: "Over the problems with a plan: the middle half is in the box, dots are far outside." }) : null,
    element("h2", {}, "What else authors report"), element("p", { class: "note" }, "Over all problems that an approach serves, whatever the filters: the median time of its algorithm; how many times as much everything on one side takes, and its energy as a multiple of that of everything local (geometric means); medians of traffic, of memory on the fullest device, and of cost; regret: at half the bandwidth, above the best plan there (mean); layers and devices of the largest problem with a plan."),
    tableOf("approaches in other measures", more, rows)];
}

const moment = (text) => text.slice(0, 16).replace("T", " ");
const listed = (values) => [...new Set(values.filter(Boolean))].join("; ");

function whenRan() {
  const times = report.ran.flatMap((row) => [row.first, row.last]).filter(Boolean).map(moment).sort(), first = times[0], last = times.at(-1);
  return !times.length ? "" : first === last ? first : `${first} to ${last.slice(0, 10) === first.slice(0, 10) && last.length > 10 ? last.slice(11) : last}${last.length > 10 ? " UTC" : ""}`;
}

function ranNote() {
  const machines = listed(report.ran.map((row) => row.machine)), versions = listed(report.ran.map((row) => row.versions));
  return element("p", { class: "note" }, `Run ${[whenRan(), machines && `on ${machines}`, versions && `with ${versions}`].filter(Boolean).join(", ")}. `, element("a", { href: "#/about" }, "What ran when"));
}

function ranTable() {
  const columns = [["method", false, (row) => row.method], ["runs", true, (row) => row.runs], ["first started", false, (row) => moment(row.first)], ["last started", false, (row) => moment(row.last)], ["limit", true, (row) => duration(row.limit), (row) => row.limit],
    ["threads", true, (row) => row.threads], ["most memory", true, (row) => quantity(row.memory, "bytes", 3), (row) => row.memory], ["machine", false, (row) => row.machine], ["versions", false, (row) => row.versions]];
  return tableOf("what ran when", columns, report.ran);
}

function aboutPage() {
  const lines = [["Runs", `${report.problems.reduce((sum, problem) => sum + problem.cells.filter(Boolean).length, 0)} of ${report.methods.length} methods on ${report.problems.length} problems`],
    ["When", whenRan()], ["Versions", listed(report.ran.map((row) => row.versions))], ["Machines", listed(report.ran.map((row) => row.machine))]].filter(([, value]) => value);
  const words = ["Best known: the value of the library's table, or a better one of these runs; where there is neither, the best bound. Gap: (value − best known) / |best known|.",
    "Best plan: no method's value is lower by more than a millionth. Better, as good, worse: of the problems both ran on; to have no plan is worse than any plan.",
    "p: Wilcoxon's signed-rank test on relative differences (two-sided, exact up to 60 differences), corrected by Holm for the number of methods. It says how likely differences are so one-sided where neither is better; the problems are no random sample, so it says nothing of others.",
    "Shifted geometric mean: exp(mean(log(x + s))) − s, with s = 1 % of gaps and 1 s of times. Means of gaps are over problems with a plan: look at the share with a plan, too.",
    "Primal integral (Berthold 2013): mean primal gap from the start to the longest run of that problem; primal gap: |value − best| / max(|value|, |best|), 1 without a plan.",
    "Performance profile: Dolan and Moré 2002."];
  return [element("h1", {}, "About these runs"), element("ul", { class: "chips" }, ...lines.map(([name, value]) => element("li", {}, element("b", {}, `${name} `), value))), ...words.map((text) => element("p", {}, text)), element("h2", {}, "What ran when"), ranTable(),
    ...(report.left.length ? [element("h2", {}, "Left out"), element("ul", {}, ...report.left.map((text) => element("li", {}, text)))] : [])];
}
