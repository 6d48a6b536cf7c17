// The charts of the last half hour: what the server has kept, and then each new reading, while somebody looks.

const SPAN_S = 1800;
const LEAST_SPAN_S = 120;
const TICKS = 4;
const points = [];
const live = document.querySelector("#live");
const figures = [...document.querySelectorAll("figure[data-chart]")];

const CHARTS = {
  tokens: {
    marks: (data) => [
      Plot.areaY(data, { x: "at", y: "tokens_per_s", fill: "var(--seg-active)", fillOpacity: 0.18 }),
      Plot.lineY(data, { x: "at", y: "tokens_per_s", stroke: "var(--seg-active)" }),
    ],
    top: (data) => most(data, "tokens_per_s"),
    reads: (data) => `Now ${round(last(data, "tokens_per_s"))}, at most ${round(most(data, "tokens_per_s"))} tokens a second.`,
  },
  requests: {
    ticks: (top) => Math.min(TICKS, top), // of whole requests
    marks: (data) => [
      Plot.lineY(data, { x: "at", y: "running", stroke: "var(--seg-active)", curve: "step-after" }),
      Plot.lineY(data, { x: "at", y: "queued", stroke: "var(--line-2)", strokeDasharray: "5 3", curve: "step-after" }),
    ],
    top: (data) => Math.max(most(data, "running"), most(data, "queued")),
    reads: (data) => `Running: now ${last(data, "running")}, at most ${most(data, "running")}. Queued: now ${last(data, "queued")}, at most ${most(data, "queued")}.`,
  },
  first: latency("time_to_first_token"),
  later: latency("time_per_output_token"),
};

function latency(name) {
  return {
    marks: (data) => spread(data, name),
    top: (data) => data.reduce((highest, point) => Math.max(highest, (point[name]?.p95 ?? 0) * 1000), 0),
    reads: (data) => readSpread(data, name),
  };
}

function spread(data, name) {
  return [
    Plot.lineY(data, { x: "at", y: (point) => inMs(point[name]?.p50), stroke: "var(--seg-active)" }),
    Plot.lineY(data, { x: "at", y: (point) => inMs(point[name]?.p95), stroke: "var(--line-2)", strokeDasharray: "5 3" }),
  ];
}

function readSpread(data, name) {
  const latest = data.at(-1)?.[name];
  if (!latest) return "Nothing ended in the last minute.";
  const ended = latest.n === 1 ? "one request" : `${latest.n} requests`;
  return `Of ${ended} in the last minute: median ${round(inMs(latest.p50))} ms, 95th percentile ${round(inMs(latest.p95))} ms.`;
}

/** A gap in the line where there is nothing. */
const inMs = (seconds) => (seconds ?? NaN) * 1000;
const last = (data, name) => data.at(-1)?.[name] ?? 0;
const most = (data, name) => data.reduce((highest, point) => Math.max(highest, point[name]), 0);
const round = (value) => (value < 10 ? value.toFixed(1) : value.toFixed(0));

const clock = { long: d3.timeFormat("%H:%M"), short: d3.timeFormat("%H:%M:%S") };

function draw() {
  const now = points.at(-1)?.at_s ?? Date.now() / 1000;
  const start = Math.min(points[0]?.at_s ?? now, now - LEAST_SPAN_S);
  for (const figure of figures) {
    const plot = figure.querySelector(".plot");
    const chart = CHARTS[figure.dataset.chart];
    const top = chart.top(points) || 1; // a scale also where all is 0
    plot.replaceChildren(
      Plot.plot({
        width: plot.clientWidth,
        height: 150,
        marginLeft: 44,
        marginRight: 24,
        style: { background: "none", color: "var(--muted)", fontSize: "11px" },
        x: { type: "time", domain: [new Date(start * 1000), new Date(now * 1000)], ticks: TICKS, tickFormat: now - start > 600 ? clock.long : clock.short, label: null },
        y: { domain: [0, top], grid: true, nice: true, ticks: chart.ticks?.(top) ?? TICKS, label: null },
        marks: [Plot.ruleY([0]), ...chart.marks(points)],
      }),
    );
    if (points.length > 0) figure.querySelector("[data-reads]").textContent = chart.reads(points);
  }
}

async function fetchNew() {
  if (document.hidden) return;
  const response = await fetch(`/console/recent?after=${points.at(-1)?.at_s ?? 0}`).catch(() => null);
  if (!response?.ok) return; // the live part says so
  for (const point of await response.json()) {
    // Another fetch may have been faster.
    if (point.at_s > (points.at(-1)?.at_s ?? 0)) points.push({ ...point, at: new Date(point.at_s * 1000) });
  }
  while (points.length > 0 && points[0].at_s < points.at(-1).at_s - SPAN_S) points.shift();
  draw();
}

await fetchNew();
draw();
setInterval(fetchNew, live.dataset.everyS * 1000);
document.addEventListener("visibilitychange", fetchNew);
new ResizeObserver(draw).observe(document.querySelector(".charts"));
