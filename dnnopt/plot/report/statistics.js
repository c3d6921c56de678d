"use strict";
// The same as dnnopt/studies/statistics.py, for what is chosen by the filters; a test compares the two.
const SAME = 1e-6, MOST_EXACT = 60;

function shiftedMean(values, shift) {
  if (!values.length) return null;
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value + shift), 0) / values.length) - shift;
}

function median(values) {
  if (!values.length) return null;
  const sorted = [...values].sort((a, b) => a - b), middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function relativeDifference(first, second) {
  if (first === second) return 0;
  const least = Math.min(Math.abs(first), Math.abs(second)), difference = first - second;
  return least > 0 && Number.isFinite(difference) ? difference / least : Math.sign(difference) * Infinity;
}

function doubleRanks(sizes) {
  const order = sizes.map((_, index) => index).sort((a, b) => (sizes[a] === sizes[b] ? 0 : sizes[a] < sizes[b] ? -1 : 1));
  const ranks = new Array(sizes.length);
  for (let first = 0; first < order.length;) {
    let last = first;
    while (last + 1 < order.length && sizes[order[last + 1]] === sizes[order[first]]) last += 1;
    for (let place = first; place <= last; place += 1) ranks[order[place]] = first + last + 2;
    first = last + 1;
  }
  return ranks;
}

function complementaryError(x) { // Numerical Recipes' erfcc, relative error below 1.2e-7
  const z = Math.abs(x), t = 1 / (1 + 0.5 * z);
  const terms = [-1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806, 0.27886807, -1.13520398, 1.48851587, -0.82215223, 0.17087277];
  const value = t * Math.exp(-z * z + terms.reduceRight((sum, term) => sum * t + term, 0));
  return x >= 0 ? value : 2 - value;
}

function signedRank(differences) {
  if (!differences.length) return 1;
  const ranks = doubleRanks(differences.map(Math.abs)), total = ranks.reduce((a, b) => a + b, 0);
  const above = ranks.reduce((sum, rank, index) => sum + (differences[index] > 0 ? rank : 0), 0);
  const smaller = Math.min(above, total - above);
  if (differences.length <= MOST_EXACT) {
    const ways = new Float64Array(total + 1);
    ways[0] = 1;
    for (const rank of ranks) for (let amount = total; amount >= rank; amount -= 1) ways[amount] += ways[amount - rank];
    let sum = 0;
    for (let amount = 0; amount <= smaller; amount += 1) sum += ways[amount];
    return Math.min(1, (2 * sum) / 2 ** differences.length);
  }
  const spread = Math.sqrt(ranks.reduce((sum, rank) => sum + rank * rank, 0)) / 2;
  return Math.min(1, complementaryError(-Math.min((smaller + 1 - total / 2) / spread, 0) / Math.SQRT2));
}

function paired(pairs) { // [[first, second], ...], infinite: no plan
  const counted = pairs.map(([a, b]) => relativeDifference(a, b)).filter((one) => Math.abs(one) > SAME);
  const wins = counted.filter((one) => one < 0).length;
  return { wins, ties: pairs.length - counted.length, losses: counted.length - wins, p: signedRank(counted) };
}

function holm(values) { // [p, ...]
  const order = values.map((_, index) => index).sort((a, b) => values[a] - values[b]);
  const found = new Array(values.length);
  let least = 0;
  order.forEach((index, place) => {
    least = Math.max(least, Math.min(1, (values.length - place) * values[index]));
    found[index] = least;
  });
  return found;
}

// What is said of methods over problems. A cell is [status, objective, bound, seconds, source, confirmed, integral, trace, message, memory].
const value = (cell) => (cell && cell[1] !== null ? cell[1] : Infinity);
const isProved = (cell) => cell && (cell[0] === "optimal" || cell[0] === "infeasible");

function gapTo(objective, best) { // as tables have it: relative to the best known value
  if (objective === null || best === null) return null;
  if (objective === best) return 0;
  return best === 0 ? Infinity : Math.max(0, (objective - best) / Math.abs(best));
}

function leastOf(problem) { return Math.min(...problem.cells.map(value)); }

function isBest(cell, least) { return Number.isFinite(least) && relativeDifference(value(cell), least) <= SAME; }

function summarise(methods, problems) {
  const rows = methods.map((method, index) => {
    const ran = problems.filter((problem) => problem.cells[index]);
    const cells = ran.map((problem) => problem.cells[index]);
    const gaps = ran.map((problem) => gapTo(problem.cells[index][1], problem.best)).filter((gap) => gap !== null && Number.isFinite(gap));
    const seconds = cells.map((cell) => cell[3]).filter((one) => one !== null);
    return {
      index, name: method.name, problems: ran.length,
      plans: cells.filter((cell) => cell[1] !== null).length,
      proved: cells.filter(isProved).length,
      best: ran.filter((problem) => isBest(problem.cells[index], leastOf(problem))).length,
      within: gaps.filter((gap) => gap <= 0.01).length,
      gap: shiftedMean(gaps, 0.01), seconds: shiftedMean(seconds, 1),
      integral: shiftedMean(cells.map((cell) => cell[6]).filter((one) => one !== null), 0.01),
      failed: cells.filter((cell) => cell[0] === "error").length, memory: median(cells.map((cell) => cell[9]).filter((one) => one !== null && one !== undefined)),
    };
  }).filter((row) => row.problems);
  // A method that ran on few problems is no winner of all: the share is of all problems.
  const order = [...rows].sort((a, b) => b.best - a.best || b.proved - a.proved || (a.seconds ?? Infinity) - (b.seconds ?? Infinity));
  const first = order[0];
  if (!first) return { rows, order, first: null };
  const others = rows.filter((row) => row !== first);
  const tests = others.map((row) => paired(problems.filter((p) => p.cells[first.index] && p.cells[row.index]).map((p) => [value(p.cells[first.index]), value(p.cells[row.index])])));
  const corrected = holm(tests.map((test) => test.p));
  others.forEach((row, place) => { row.test = tests[place]; row.p = corrected[place]; });
  return { rows, order, first };
}

// For each problem the best of all methods: the best plan, of those that have it the quickest, and a proof if any has one.
function virtualBest(problems) {
  const ran = problems.filter((problem) => problem.cells.some(Boolean)), leasts = ran.map(leastOf);
  const gaps = ran.map((problem, place) => gapTo(Number.isFinite(leasts[place]) ? leasts[place] : null, problem.best)).filter((gap) => gap !== null && Number.isFinite(gap));
  const winners = ran.map((problem, place) => problem.cells.filter((cell) => cell && (isBest(cell, leasts[place]) || !Number.isFinite(leasts[place]))));
  const least = (cells, column) => cells.map((cell) => cell[column]).filter((one) => one !== null).reduce((a, b) => Math.min(a, b), Infinity);
  const finite = (column) => winners.map((cells) => least(cells, column)).filter(Number.isFinite), plans = leasts.filter(Number.isFinite).length;
  return { name: "virtual best", problems: ran.length, plans, best: plans, proved: ran.filter((problem) => problem.cells.some(isProved)).length, within: gaps.filter((gap) => gap <= 0.01).length,
    gap: shiftedMean(gaps, 0.01), seconds: shiftedMean(finite(3), 1), integral: shiftedMean(finite(6), 0.01), failed: 0, memory: null };
}
