// Draws every figure with data-chart from the JSON that stands in it. Colours are the page's, so that a theme changes them.
"use strict";
(() => {
  const FRAME = { marginTop: 8, marginRight: 24, marginBottom: 42, style: { fontSize: "12px", background: "none", overflow: "visible" } };
  const WIDE = { ...FRAME, marginLeft: 48, marginTop: 24, height: 270 };

  const systemScales = (systems) => ({
    color: { domain: systems, range: systems.map((_, index) => `var(--system-${index % 6})`) },
    symbol: { domain: systems, range: ["circle", "square", "triangle", "diamond", "star", "wye"] },
  });
  const marginLeft = (width) => Math.max(96, Math.min(190, width * 0.33));
  // Labels break into as many lines as they need within the margin. A line's width is in ems of 12 pixels as Plot reckons
  // them, which is less than what a system's own font may take.
  const labels = (margin, more) => ({ tickSize: 0, lineHeight: 1.1, lineWidth: (margin - 12) / 14, ...more });
  const signed = (value) => (value > 0 ? `+${value}` : `${value}`.replace("-", "\u2212"));
  const within = (row) => row.low !== null && row.high !== null;

  function forest(data, width) {
    const tone = (row) => (row.outcome ? `var(--${row.outcome})` : "var(--ink-soft)");
    return Plot.plot({
      ...FRAME,
      width,
      marginLeft: marginLeft(width),
      height: 60 + (width < 420 ? 44 : 32) * data.rows.length,
      x: { label: data.axis, labelOffset: 38, grid: true, ticks: width < 420 ? 4 : 6, nice: true, tickFormat: data.baseline === 0 ? signed : "~g" },
      y: { domain: data.rows.map((row) => row.label), label: null },
      marks: [
        Plot.axisY(labels(marginLeft(width))),
        Plot.ruleX([data.baseline], { stroke: "var(--ink)" }),
        Plot.ruleY(data.rows.filter(within), { x1: "low", x2: "high", y: "label", stroke: tone, strokeWidth: 2.5 }),
        Plot.tickX(data.rows.filter((row) => row.margin !== null), { x: "margin", y: "label", stroke: "var(--limit)", strokeWidth: 3 }),
        Plot.dot(data.rows, { x: "value", y: "label", r: 5, fill: tone, stroke: "var(--surface)" }),
      ],
    });
  }

  function levels(data, width) {
    const rows = [...new Set(data.rows.map((row) => row.row))];
    return Plot.plot({
      ...FRAME,
      width,
      marginLeft: marginLeft(width),
      height: 60 + rows.length * (14 * data.systems.length + 14),
      ...systemScales(data.systems),
      x: { label: data.axis, labelOffset: 38, grid: true, domain: [Math.min(50, ...data.rows.map((row) => row.low ?? row.value)), 100], ticks: width < 420 ? 4 : 8 },
      y: { domain: data.systems, axis: null },
      fy: { domain: rows, label: null, axis: null, padding: 0.18 },
      marks: [
        Plot.axisFy(labels(marginLeft(width), { anchor: "left" })),
        Plot.ruleX(data.rows.filter((row) => row.floor !== null), { x: "floor", fy: "row", stroke: "var(--limit)", strokeDasharray: "4 3" }),
        Plot.ruleY(data.rows.filter(within), { x1: "low", x2: "high", y: "system", fy: "row", stroke: "system", strokeWidth: 2 }),
        Plot.dot(data.rows, { x: "value", y: "system", fy: "row", fill: "system", symbol: "system", r: 4.5, stroke: "var(--surface)" }),
      ],
    });
  }

  function times(data, width) {
    const rows = data.arms.flatMap((arm) => arm.values.map((value) => ({ system: arm.system, value })));
    return Plot.plot({
      ...FRAME,
      width,
      marginLeft: 84,
      height: 60 + 34 * data.systems.length,
      ...systemScales(data.systems),
      x: { label: data.axis, labelOffset: 38, grid: true, ticks: 4, nice: true },
      y: { domain: data.systems, label: null },
      marks: [
        Plot.axisY(labels(84)),
        Plot.boxX(rows, { x: "value", y: "system", fill: "system", fillOpacity: 0.3, stroke: "system", r: 2 }),
      ],
    });
  }

  function lines(data, width) {
    return Plot.plot({
      ...WIDE,
      width,
      ...systemScales(data.systems),
      x: { label: data.x_axis, labelOffset: 38, ticks: width < 420 ? 4 : 6, tickFormat: "~s" },
      y: { label: data.y_axis, grid: true, zero: data.limit !== null, nice: true },
      marks: [
        data.limit === null ? null : Plot.ruleY([data.limit], { stroke: "var(--limit)", strokeDasharray: "4 3" }),
        Plot.lineY(data.points, { x: "x", y: "y", stroke: "system", strokeWidth: 2 }),
        Plot.dot(data.points, { x: "x", y: "y", fill: "system", symbol: "system", r: 3 }),
      ],
    });
  }

  const HOUR_MS = 3.6e6;
  const DAY_MS = 24 * HOUR_MS;

  /** Moments in UTC, as the tables have them, with the day wherever it could be another one. */
  function timeAxis(moments, width) {
    const [first, last] = d3.extent(moments);
    const beside = Math.max(HOUR_MS - (last - first), 0.06 * (last - first)) / 2;
    const span = last - first + 2 * beside;
    const format = d3.utcFormat(span < 7 * DAY_MS ? "%H:%M\n%-d %b" : span < 300 * DAY_MS ? "%-d %b" : "%b %Y");
    return { type: "utc", label: null, domain: [+first - beside, +last + beside], ticks: width < 420 ? 3 : 6, tickFormat: format };
  }

  function history(data, width) {
    const at = (row) => new Date(row.at);
    return Plot.plot({
      ...WIDE,
      width,
      x: timeAxis([...data.points, ...data.changes].map(at), width),
      y: { label: data.axis, grid: true, domain: [Math.min(50, ...data.points.map((row) => row.value)), 100] },
      marks: [
        Plot.ruleX(data.changes, { x: at, stroke: "var(--ink-soft)", strokeDasharray: "4 3" }),
        Plot.dot(data.points, { x: at, y: "value", r: 5, fill: (row) => `var(--${row.outcome})`, stroke: "var(--surface)" }),
      ],
    });
  }

  const charts = { forest, levels, times, lines, history };

  function draw(place) {
    const figure = place.closest("[data-chart]");
    const width = Math.floor(place.clientWidth);
    if (width === 0 || Number(place.dataset.width) === width) return;
    place.dataset.width = width;
    const data = JSON.parse(figure.querySelector('script[type="application/json"]').textContent);
    const svg = charts[figure.dataset.chart](data, width);
    // The place is the image and has its words; the parts of the drawing say nothing to who cannot see it.
    svg.setAttribute("aria-hidden", "true");
    place.replaceChildren(svg);
  }

  const observer = new ResizeObserver((entries) => entries.forEach((entry) => draw(entry.target)));
  for (const place of document.querySelectorAll("[data-chart] .plot")) observer.observe(place);
})();
