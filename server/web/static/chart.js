// Charts: each [data-chart] fetches its numbers and draws them with uPlot.
"use strict";

(() => {
  const language = document.documentElement.lang;
  const zone = document.documentElement.dataset.zone;
  const number = (digits) => new Intl.NumberFormat(language, { maximumFractionDigits: digits });
  const percent = new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 1 });
  const PREFIXED = new Set(["B", "B/s", "bit/s"]);
  const PREFIXES = ["", "k", "M", "G", "T", "P"];
  const charts = new Set();

  function told(value, unit) {
    if (value === null || value === undefined) return "–";
    if (unit === "%") return percent.format(value / 100);
    if (unit === "s") return Math.abs(value) < 1 ? number(Math.abs(value) < 0.01 ? 1 : 0).format(value * 1000) + " ms" : document.documentElement.dataset.seconds.replace("{n}", number(2).format(value));
    if (!PREFIXED.has(unit) && (unit || Math.abs(value) < 1000)) return number(value !== 0 && Math.abs(value) < 10 ? 2 : 1).format(value) + (unit ? " " + unit : "");
    let at = 0;
    while (Math.abs(value) >= 1000 && at < PREFIXES.length - 1) { value /= 1000; at += 1; }
    return number(at && value < 100 ? 1 : 0).format(value) + " " + PREFIXES[at] + unit;
  }

  // the clock of the centre, wherever the visitor is
  const hours = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: zone });
  const dates = new Intl.DateTimeFormat(language, { day: "numeric", month: "short", timeZone: zone });

  // a hole that is only the pace of measuring is bridged (undefined), a real gap stays open (null)
  function bridged(times, values, gap) {
    const all = values.slice();
    let before = -1;
    for (let at = 0; at < all.length; at += 1) {
      if (all[at] === null) continue;
      if (before >= 0 && times[at] - times[before] <= gap) for (let hole = before + 1; hole < at; hole += 1) all[hole] = undefined;
      before = at;
    }
    return all;
  }

  function colours() {
    const style = getComputedStyle(document.documentElement);
    const named = (name) => style.getPropertyValue(name).trim();
    return { lines: [1, 2, 3, 4, 5, 6].map((at) => named("--c" + at)), ink: named("--soft"), grid: named("--grid") };
  }

  function clock(time, span) {
    const at = new Date(time * 1000);
    if (span <= 86400 * 1.5) return hours.format(at);
    return dates.format(at) + (span <= 86400 * 8 ? " " + hours.format(at) : "");
  }

  // nobody points at the chart: the newest is what one wants to know
  function newest(values) {
    return values.findLast((value) => value !== null && value !== undefined);
  }

  function draw(box, data) {
    const unit = box.dataset.unit;
    const factor = Number(box.dataset.factor) || 1;
    const shown = (value) => told(value === null || value === undefined ? value : value * factor, unit);
    const top = Number(box.dataset.top) || null;
    const paint = colours();
    const span = data.end - data.start;
    const axis = { stroke: paint.ink, grid: { stroke: paint.grid, width: 1 }, ticks: { stroke: paint.grid, width: 1, size: 4 }, font: "12px system-ui, sans-serif" };
    const legend = box.clientWidth < 420 ? 66 : 44;
    const options = {
      tzDate: (time) => uPlot.tzDate(new Date(time * 1000), zone),
      width: box.clientWidth, height: Math.max(box.clientHeight - legend, 120),
      cursor: { drag: { x: false, y: false }, points: { size: 6 } },
      scales: { x: { range: () => [data.start, data.end] }, y: { range: (_plot, _low, high) => [0, top || (high > 0 ? high * 1.08 : 1)] } },
      axes: [
        { ...axis, space: 70, values: (_plot, ticks) => ticks.map((tick) => clock(tick, span)) },
        { ...axis, size: 74, space: 26, values: (_plot, ticks) => ticks.map(shown) },
      ],
      series: [
        { label: language === "id" ? "Pukul" : "Time", value: (_plot, time) => clock(time ?? data.times.at(-1), 86400 * 7.5) },
        ...data.lines.map((line, at) => ({
          label: line.label || line.group || "–", stroke: paint.lines[at % paint.lines.length], width: 1.6,
          dash: at >= paint.lines.length ? [6, 3] : undefined, points: { size: 4 }, value: (_plot, value, _at, here) => shown(here === null ? newest(line.values) : value),
        })),
      ],
    };
    box.replaceChildren();
    const plot = new uPlot(options, [data.times, ...data.lines.map((line) => bridged(data.times, line.values, data.gap))], box);
    charts.add({ box, plot, data, legend });
    if (data.left_out) {
      const more = box.nextElementSibling;
      more.textContent = box.dataset.more.replace("{n}", data.left_out);
      more.hidden = false;
    }
  }

  function note(box, text) {
    const line = document.createElement("p");
    line.className = "chart-note";
    line.textContent = text;
    box.replaceChildren(line);
  }

  async function load(box) {
    try {
      const answer = await fetch(box.dataset.chart);
      if (!answer.ok) throw new Error(String(answer.status));
      const data = await answer.json();
      forget(box);
      if (data.times.length) draw(box, data); else note(box, box.dataset.empty);
    } catch {
      forget(box);
      note(box, box.dataset.failed);
    }
  }

  function forget(box) {
    for (const one of charts) if (one.box === box) { one.plot.destroy(); charts.delete(one); }
  }

  function all() {
    for (const one of charts) if (!document.contains(one.box)) { one.plot.destroy(); charts.delete(one); }
    for (const box of document.querySelectorAll("[data-chart]")) load(box);
  }

  new ResizeObserver(() => {
    for (const one of charts) {
      const width = one.box.clientWidth;
      if (width && width !== one.plot.width) one.plot.setSize({ width, height: one.plot.height });
    }
  }).observe(document.body);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", all);
  document.body.addEventListener("pantau:page", all);
  setInterval(() => { if (!document.hidden) all(); }, 60000);
  all();
})();
