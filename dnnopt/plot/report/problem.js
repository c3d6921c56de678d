// The page of one problem.
const MOST_NAMES = 6; // in a sentence
const last = (number) => number ?? Infinity;
const byValue = (a, b) => last(a.cell[1]) - last(b.cell[1]) || last(a.cell[3]) - last(b.cell[3]);
const inSentence = (some) => `${some.slice(0, MOST_NAMES).map((one) => one.name).join(", ")}${some.length > MOST_NAMES ? ` and ${some.length - MOST_NAMES} others` : ""}`;
const STATUS = { optimal: "proved optimal", feasible: "a plan", infeasible: "proved infeasible", no_solution: "no plan found", error: "failed", interrupted: "interrupted", unbounded: "unbounded", cut_off: "cannot be better than another" };

function problemPage(report, problem) {
  const ran = report.methods.map((method, index) => ({ ...method, index, cell: problem.cells[index] })).filter((one) => one.cell).sort(byValue);
  const least = leastOf(problem), unit = problem.unit, shown = (number) => quantity(number, unit, 6);
  const chips = [["execution", problem.execution], ["constraints", problem.constraint], ["objectives", problem.objective], ["granularity", problem.granularity], ["platform", problem.platform],
    ["layers", [problem.layers]], ["devices", [problem.devices.length]]];
  const winners = ran.filter((one) => isBest(one.cell, least)), proofs = ran.filter((one) => one.cell[0] === "optimal");
  const all = winners.length === ran.length ? "all methods" : `${winners.length} of ${ran.length} methods: ${inSentence(winners)}`;
  const answer = Number.isFinite(least)
    ? `Best plan: ${problem.quantity} ${shown(least)}, found by ${all}. ` + (proofs.length ? `Proved optimal by ${inSentence(proofs)}.`
      : problem.bound === null ? "No bound is known." : `Not proved; the best bound is ${shown(problem.bound)}, ${percent((least - problem.bound) / Math.abs(least))} below.`)
    : ran.some((one) => one.cell[0] === "infeasible") ? "Proved: no plan satisfies every constraint." : "No method found a plan.";
  const columns = [
    ["method", false, (one) => one.name],
    ["status", false, (one) => STATUS[one.cell[0]] || one.cell[0]],
    [problem.quantity, true, (one) => shown(one.cell[1]), (one) => one.cell[1]],
    ["above best known", true, (one) => percent(gapTo(one.cell[1], problem.best)), (one) => gapTo(one.cell[1], problem.best)],
    ["bound", true, (one) => shown(one.cell[2]), (one) => one.cell[2]],
    ["gap", true, (one) => (one.cell[1] === null || one.cell[2] === null || one.cell[1] === 0 ? "" : percent(Math.max(0, (one.cell[1] - one.cell[2]) / Math.abs(one.cell[1])))),
      (one) => (one.cell[1] === null || one.cell[2] === null ? null : (one.cell[1] - one.cell[2]) / Math.abs(one.cell[1]))],
    ["time", true, (one) => duration(one.cell[3]), (one) => one.cell[3]], ["memory", true, (one) => quantity(one.cell[9], "bytes", 3), (one) => one.cell[9]],
    ["found by", false, (one) => one.cell[4]], ["confirmed by", false, (one) => one.cell[5]], ["message", false, (one) => one.cell[8]],
  ];
  return [
    report.problems.length > 1 ? element("p", {}, element("a", { href: "#/problems" }, "← all problems")) : null,
    element("h1", {}, problem.title),
    element("ul", { class: "chips" }, ...chips.map(([name, values]) => element("li", {}, element("b", {}, `${name} `), values.join(", ")))),
    element("div", { class: "answer" }, element("p", {}, answer)),
    element("h2", {}, "Methods"),
    tableOf(`methods on ${problem.name}`, columns, ran, { isBest: (one) => isBest(one.cell, least) }),
    ...relaxationTable(problem),
    element("div", { class: "charts" }, traceChart(problem, ran), baselineChart(problem, least), loadChart(problem)),
    planChart(problem, ran), barChart(problem),
  ];
}

function relaxationTable(problem) {
  const rows = Object.entries(problem.relaxations);
  if (!rows.length) return [];
  const columns = [["formulation", false, ([name]) => name], ["value", true, ([, one]) => quantity(one[0], problem.unit, 6), ([, one]) => one[0]], ["below best known", true, ([, one]) => percent(one[2]), ([, one]) => one[2]],
    ["time", true, ([, one]) => duration(one[1]), ([, one]) => one[1]], ["message", false, ([, one]) => one[3]]];
  return [element("h2", {}, "Linear relaxations"), tableOf(`relaxations of ${problem.name}`, columns, rows)];
}

function traceChart(problem, all) {
  const traced = all.filter((one) => one.cell[7].some((point) => point[1] !== null || point[2] !== null)), ran = traced.slice(0, MOST_LINES);
  const traces = [], end = Math.max(...ran.map((one) => one.cell[3] || 0), 1e-3);
  ran.forEach((one) => [[1, "plan", dash(one.place)], [2, "bound", "dot"]].forEach(([column, word, line]) => {
    const points = one.cell[7].filter((point) => point[column] !== null);
    if (!points.length) return;
    traces.push({ x: [...points.map((point) => Math.max(point[0], 1e-3)), Math.max(one.cell[3] || end, 1e-3)], y: [...points.map((point) => point[column]), points.at(-1)[column]], mode: "lines",
      name: `${one.name}${column === 2 ? ": bound" : ""}`, legendgroup: one.name, showlegend: column === 1 || !one.cell[7].some((point) => point[1] !== null),
      line: { shape: "hv", color: colour(one.place), dash: line, width: 2 }, hovertemplate: `%{y:.5g} ${problem.unit} after %{x:.3g} s<extra>${word}</extra>` });
  }));
  if (!traces.length) return null;
  return chart("Plans and bounds over time", traces, { xaxis: { type: "log", title: { text: "time (s)" } }, yaxis: { title: { text: `${problem.quantity}${problem.unit ? ` (${problem.unit})` : ""}` } } },
    { note: `${traced.length > ran.length ? `The best ${ran.length} of ${traced.length} methods. ` : ""}A line falls when a better plan is found; dotted bounds rise until nothing is between.` });
}

function baselineChart(problem, least) {
  const rows = problem.baselines.filter((row) => row[1] !== null).sort((a, b) => a[1] - b[1]);
  if (!rows.length || !Number.isFinite(least)) return null;
  const names = ["best plan", ...rows.map((row) => row[0])], values = [least, ...rows.map((row) => row[1])];
  const colours = [css("--good"), ...rows.map((row) => (row[2] ? css("--bad") : colour(0)))];
  return chart("Baselines", [{ type: "bar", orientation: "h", y: names, x: values, marker: { color: colours }, hovertemplate: `%{y}: %{x:.5g} ${problem.unit}<extra></extra>` }],
    { xaxis: { title: { text: `${problem.quantity}${problem.unit ? ` (${problem.unit})` : ""}` } }, yaxis: { autorange: "reversed" }, showlegend: false },
    { height: 120 + 24 * names.length, note: "Plans that the methods began with. Red ones break a constraint." });
}

function loadChart(problem) {
  if (!problem.loads.length) return null;
  const names = problem.loads.map((row) => row[0]);
  const bar = (column, name, index) => ({ type: "bar", orientation: "h", name, y: names, x: problem.loads.map((row) => row[column]), marker: { color: colour(index) }, hovertemplate: `%{y}: ${name} %{x:.4g} s<extra></extra>` });
  return chart("Loads of the best plan", [bar(1, "computing", 0), bar(2, "sending", 1)], { barmode: "stack", xaxis: { title: { text: "seconds for each input" } }, yaxis: { autorange: "reversed" } },
    { height: 150 + 26 * names.length, note: `By ${problem.best_by}; period ${quantity(problem.period, "s")}.` });
}

function planChart(problem, ran) {
  const withPlan = ran.filter((one) => problem.plans[one.index]);
  if (!withPlan.length) return null;
  const holder = element("div"), start = withPlan.find((one) => one.name === problem.best_by) || withPlan[0];
  const draw = (index) => {
    const letters = problem.plans[index], xs = problem.places.map((place) => place[0]), ys = problem.places.map((place) => -place[1]);
    const edges = { x: [], y: [], mode: "lines", line: { color: css("--line"), width: 1 }, hoverinfo: "skip", showlegend: false };
    for (const [from, to] of problem.edges) { edges.x.push(xs[from], xs[to], null); edges.y.push(ys[from], ys[to], null); }
    const shapes = ["circle", "square", "diamond", "triangle-up", "cross", "star", "hexagon"];
    const traces = problem.devices.map((device, number) => {
      const own = [...letters].flatMap((letter, layer) => (LETTERS[number] === letter ? [layer] : []));
      return { x: own.map((layer) => xs[layer]), y: own.map((layer) => ys[layer]), text: own.map((layer) => problem.names[layer]), mode: "markers", name: `${device} (${own.length})`,
        marker: { size: problem.names.length > 300 ? 6 : 10, color: colour(number), symbol: shapes[number % shapes.length], line: { width: 0.5, color: css("--back") } }, hovertemplate: `%{text} on ${device}<extra></extra>` };
    }).filter((trace) => trace.x.length);
    const tracks = Math.max(...ys) - Math.min(...ys) + 1;
    holder.replaceChildren(chart("The plan on the graph", [edges, ...traces], { xaxis: { title: { text: "depth in the network" }, zeroline: false }, yaxis: { visible: false }, dragmode: "pan", hovermode: "closest" },
      { height: Math.min(700, 220 + 26 * tracks), note: "Layers from input to output, in the colours of their devices; drag to move along it." }));
    drawPending();
  };
  const options = withPlan.map((one) => [String(one.index), `${one.name}: ${quantity(one.cell[1], problem.unit)}`]);
  pending.push(() => draw(start.index));
  return element("section", {}, holder, pick("Plan of", options, String(start.index), (chosen) => draw(Number(chosen))));
}

function barChart(problem) {
  if (!problem.bars.length) return element("section", {}, element("h2", {}, "When what happens"), element("p", { class: "note" }, problem.why_no_bars));
  const places = [...new Set(problem.bars.map((row) => row[0]))].sort((a, b) => (problem.devices.indexOf(b) >= 0) - (problem.devices.indexOf(a) >= 0) || (a < b ? -1 : 1));
  const traces = places.map((place) => {
    const own = problem.bars.filter((row) => row[0] === place), device = problem.devices.indexOf(place);
    return { type: "bar", orientation: "h", y: own.map(() => place), base: own.map((row) => row[2]), x: own.map((row) => row[3]), text: own.map((row) => row[1]), textposition: "none", name: place,
      marker: { color: device >= 0 ? colour(device) : "#8a8f98", line: { width: 0.4, color: css("--back") } }, hovertemplate: "%{text}: %{x:.4g} s from %{base:.4g} s<extra></extra>" };
  });
  return chart("When what happens", traces, { barmode: "overlay", showlegend: false, xaxis: { title: { text: "time (s)" } }, yaxis: { autorange: "reversed" }, dragmode: "pan" },
    { height: 120 + 30 * places.length, note: `Gantt chart of the best plan, by ${problem.best_by}: devices in colour, links grey. ${problem.why_no_bars}` });
}
