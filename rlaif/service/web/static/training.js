"use strict";
/* Curves: drawn from /v1/training/RUN/metrics in place of the small ones, and drawn again while a run goes on. */

(() => {
  const holder = document.getElementById("charts");
  if (!holder) return;
  const runs = JSON.parse(holder.dataset.runs);
  const state = document.getElementById("state");
  const plots = new Map();
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();

  async function fetched(run) {
    const reply = await fetch(`/v1/training/${encodeURIComponent(run)}/metrics`, { cache: "no-cache" });
    if (!reply.ok) throw new Error(`${reply.status}`);
    return reply.json();
  }

  function curvesOf(name, all) {
    return all.flatMap((found, at) =>
      found.series
        .filter((one) => one.name === name || one.name === `eval/${name}`)
        .map((one) => ({ run: runs[at], at, name: one.name, steps: one.steps, values: one.values })));
  }

  function figure(value) {
    if (value === null) return "";
    const size = Math.abs(value);
    if (size >= 1000) return Math.round(value).toLocaleString("en");
    const short = Number(value.toPrecision(3));
    return size && size < 0.001 ? short.toExponential() : String(short);
  }

  /* A flat curve lies in the middle of a range of its own size, not at the bottom of a hundred. */
  function spread(plot, low, high) {
    if (low === null || low !== high) return uPlot.rangeNum(low ?? 0, high ?? 1, 0.1, true);
    const room = Math.abs(low) || 1;
    return low >= 0 ? [Math.max(0, low - room), low + room] : [low - room, low + room];
  }

  function options(width, curves) {
    const whole = [1, 2, 5].flatMap((one) => [0, 1, 2, 3, 4, 5, 6].map((power) => one * 10 ** power)).sort((a, b) => a - b);
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif", size: 48, values: (_, at) => at.map(figure) };
    const series = curves.map((one) => ({
      label: one.name, stroke: colour(`--line${one.at}`), width: 1.5, spanGaps: true,
      dash: one.name.startsWith("eval/") ? [5, 4] : undefined,
      points: { show: one.steps.length < 30, size: 4 },
    }));
    return { width, height: 112, legend: { show: false }, cursor: { y: false }, scales: { x: { time: false }, y: { range: spread } },
      axes: [{ ...axis, size: 22, incrs: whole }, axis], series: [{}, ...series] };
  }

  function draw(card, all) {
    const curves = curvesOf(card.dataset.name, all);
    if (!curves.length) return;
    const data = uPlot.join(curves.map((one) => [one.steps, one.values]));
    const key = curves.map((one) => `${one.run} ${one.name}`).join();
    const place = card.querySelector(".plot");
    const held = plots.get(card);
    if (held?.key === key) held.plot.setData(data);
    else {
      held?.plot.destroy();
      place.classList.add("drawn");
      plots.set(card, { key, plot: new uPlot(options(place.clientWidth, curves), data, place) });
    }
    for (const one of curves) tell(card, one);
  }

  function tell(card, curve) {
    const last = curve.values.findLast((value) => value !== null);
    for (const shown of card.querySelectorAll(".value"))
      if (shown.dataset.run === curve.run && shown.dataset.series === curve.name && last !== undefined)
        shown.textContent = figure(last);
  }

  async function refresh() {
    const all = await Promise.all(runs.map(fetched));
    for (const card of holder.querySelectorAll(".chart")) draw(card, all);
    const going = all.some((one) => one.state === "running");
    if (state.dataset.state === "running" && !going) location.reload();
    else if (going) setTimeout(() => refresh().catch(later), 2000);
  }

  const later = () => setTimeout(() => refresh().catch(later), 5000);

  function resized() {
    for (const [card, { plot }] of plots) plot.setSize({ width: card.querySelector(".plot").clientWidth, height: 112 });
  }

  refresh().catch(later);
  let waiting;
  addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(resized, 150); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const { plot } of plots.values()) plot.destroy();
    plots.clear();
    refresh().catch(later);
  });
})();
