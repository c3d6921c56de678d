// Elements of the page. Every text from the data goes in as text, never as HTML.
const COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8A5CD1", "#7F7F7F"];
const DASHES = ["solid", "dash", "dashdot", "longdash"]; // dotted lines are bounds
const LETTERS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
const PREFIXES = [[1, ""], [1e-3, "m"], [1e-6, "µ"], [1e-9, "n"]];
const LARGE = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];
const colour = (index) => COLOURS[index % COLOURS.length];
const dash = (index) => DASHES[Math.floor(index / COLOURS.length) % DASHES.length];

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, given] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), given);
    else if (given !== null && given !== false) made.setAttribute(name, given === true ? "" : given);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function shortNumber(number, digits = 4) {
  if (number === 0) return "0";
  const size = Math.abs(number);
  return size >= 1e6 || size < 1e-3 ? number.toPrecision(3).replace(/\.?0+(e|$)/, "$1") : String(Number(number.toPrecision(digits)));
}

function quantity(number, unit, digits = 4) {
  if (number === null || number === undefined || !Number.isFinite(number)) return "";
  const size = Math.abs(number);
  if (!["s", "J", "USD", "bytes"].includes(unit) || size === 0) return `${shortNumber(number, digits)}${unit ? ` ${unit}` : ""}`;
  const [factor, prefix] = size >= 1e3 && unit !== "s" ? LARGE.find(([least]) => size >= least) : size >= 1 ? [1, ""] : PREFIXES.find(([least]) => size >= least) || [1e-9, "n"];
  const name = unit === "bytes" && prefix ? "B" : unit;
  return `${shortNumber(number / factor, digits)} ${prefix}${name}`;
}

function percent(share) {
  if (share === null || share === undefined) return "";
  if (!Number.isFinite(share)) return "∞";
  return share > 10 ? `${shortNumber(share + 1, 3)}×` : share === 0 ? "0 %" : share < 5e-8 ? "0 %" : `${shortNumber(100 * share, 3)} %`;
}

const counted = (count, whole) => `${count} of ${whole}${whole ? ` (${Math.round((100 * count) / whole)} %)` : ""}`;
const duration = (seconds) => (seconds === null || seconds === undefined ? "" : quantity(seconds, "s", 3));
const chance = (p) => (p < 0.001 ? "p < 0.001" : `p = ${p.toPrecision(2)}`);

function save(name, kind, text) {
  const link = element("a", { href: URL.createObjectURL(new Blob([text], { type: kind })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

const inCsv = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
const inLatex = (text) => text.replace(/[&%$#_{}]/g, "\\$&").replaceAll("~", "\\textasciitilde{}").replaceAll("^", "\\textasciicircum{}");

// Columns: [heading, number?, row -> text, row -> what to sort by, row -> element or null]
function tableOf(name, columns, rows, { tall = false, isBest = () => false, plain = false } = {}) {
  const body = element("tbody");
  let sorted = null, down = false;
  const texts = () => rows.map((row) => columns.map((column) => String(column[2](row) ?? "")));
  const fill = () => body.replaceChildren(...rows.map((row) => element("tr", isBest(row) ? { class: "best" } : {},
    ...columns.map(([, number, text, , link]) => element("td", number ? { class: "number" } : {}, (link && link(row)) || String(text(row) ?? ""))))));
  const sortBy = (index) => {
    down = sorted === index ? !down : false;
    sorted = index;
    const key = columns[index][3] || columns[index][2];
    rows = [...rows].sort((a, b) => { const x = key(a) ?? Infinity, y = key(b) ?? Infinity; return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1); });
    heads.forEach((head, place) => head.setAttribute("aria-sort", place === index ? (down ? "descending" : "ascending") : "none"));
    fill();
  };
  const heads = columns.map(([heading, number], index) => element("th", { scope: "col", class: number ? "number" : null, "aria-sort": "none" },
    element("button", { type: "button", onclick: () => sortBy(index) }, heading)));
  fill();
  const table = element("div", { class: tall ? "scroll tall" : "scroll", tabindex: "0", role: "region", "aria-label": name },
    element("table", { "data-name": name }, element("thead", {}, element("tr", {}, ...heads)), body));
  if (plain) return table;
  const headings = columns.map(([heading]) => heading), file = name.replace(/\W+/g, "-").toLowerCase();
  const csv = () => save(`${file}.csv`, "text/csv", [headings, ...texts()].map((row) => row.map(inCsv).join(",")).join("\n") + "\n");
  const markdown = () => save(`${file}.md`, "text/markdown", [headings, columns.map(([, number]) => (number ? "---:" : "---")), ...texts()]
    .map((row) => `| ${row.map((text) => text.replaceAll("|", "\\|")).join(" | ")} |`).join("\n") + "\n");
  const latex = () => save(`${file}.tex`, "text/x-tex", [`\\begin{tabular}{${columns.map(([, number]) => (number ? "r" : "l")).join("")}}`, "\\toprule",
    `${headings.map(inLatex).join(" & ")} \\\\`, "\\midrule", ...texts().map((row) => `${row.map(inLatex).join(" & ")} \\\\`), "\\bottomrule", "\\end{tabular}", ""].join("\n"));
  return element("div", {}, table, element("p", { class: "files" }, "Table as ",
    element("button", { type: "button", onclick: csv }, "CSV"), " ", element("button", { type: "button", onclick: markdown }, "Markdown"), " ",
    element("button", { type: "button", onclick: latex }, "LaTeX")));
}

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// A figure with its description in words, which is what a screen reader reads.
function chart(title, traces, layout, { height = 340, note = "", onclick = null } = {}) {
  const names = layout.showlegend === false ? [] : traces.filter((trace) => trace.name && trace.showlegend !== false).map((trace) => trace.name.length), entries = names.length;
  const wide = document.documentElement.clientWidth, room = wide > 1000 ? Math.min(wide, 1400) / 2 : wide;
  const columns = Math.max(1, Math.floor((room - 60) / (45 + 6.5 * Math.max(8, ...names)))); // plotly gives all entries the width of the longest
  const legend = entries > 1 ? 20 * Math.ceil(entries / columns) : 0; // the figure grows by what its legend takes
  height += Math.max(0, legend - 40);
  const place = element("div", { class: "plot", role: "img", "aria-label": `${title}. ${note}`, style: `height:${height}px` });
  const axis = { gridcolor: css("--line"), zerolinecolor: css("--line"), linecolor: css("--line"), automargin: true };
  const named = (given) => ({ ...axis, ...given, title: { standoff: 8, ...(given && given.title) } });
  const whole = {
    height, margin: { l: 48, r: 12, t: 8, b: 44 + legend }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: css("--ink"), size: 12, family: "system-ui, sans-serif" }, legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom", x: 0, font: { size: 11 } },
    hoverlabel: { bgcolor: css("--card"), font: { color: css("--ink") }, bordercolor: css("--line") }, dragmode: false, ...layout,
    xaxis: named(layout.xaxis), yaxis: named(layout.yaxis),
  };
  pending.push(() => {
    Plotly.newPlot(place, traces, whole, { responsive: true, displaylogo: false, displayModeBar: false });
    if (onclick) place.on("plotly_click", onclick);
  });
  return element("figure", { "data-figure": title }, element("h2", {}, title), note ? element("p", { class: "note" }, note) : null, place);
}

const pending = []; // figures are drawn when they are in the page, so that they know their width

function pick(label, options, chosen, changed) {
  const select = element("select", { onchange: () => changed(select.value) },
    ...options.map(([given, text]) => element("option", { value: given, selected: given === chosen }, text)));
  return element("label", { class: "pick" }, label, select);
}
