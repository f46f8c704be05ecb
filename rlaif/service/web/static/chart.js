"use strict";
/* Curves where there is room for more than a sparkline: every element with data-chart holds one, drawn from

   data-at: JSON array of x values;
   data-lines: JSON array of arrays of y values (null for a gap);
   data-names: JSON array of names, one a line;
   data-x: name of what runs along the bottom;
   data-time: present when x is seconds since 1970.

   What the element held before, a sparkline or a table, is what readers without scripts see. */

(() => {
  const drawn = new WeakMap();
  const dashes = [[], [6, 4], [2, 3], [10, 3, 2, 3], [1, 2], [8, 2]];

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  function colours() {
    return ["--accent", "--b", "--good", "--warn", "--bad", "--soft"].map(colour);
  }

  function axis() {
    return { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
  }

  function options(element, names) {
    const palette = colours();
    const value = (_, at) => (at === null || at === undefined ? "–" : String(Number(at.toPrecision(3))));
    const lines = names.map((label, at) => ({
      label,
      value,
      stroke: palette[at % palette.length],
      dash: dashes[at % dashes.length],
      width: 1.5,
      points: { show: false },
    }));
    return {
      width: element.clientWidth || 320,
      height: 180,
      scales: { x: { time: "time" in element.dataset }, y: { range: (_, low, high) => [Math.min(0, low), high || 1] } },
      axes: [axis(), axis()],
      series: [{ label: element.dataset.x ?? "x", value }, ...lines],
      cursor: { y: false },
      legend: { live: true },
    };
  }

  function draw(element) {
    const data = [JSON.parse(element.dataset.at), ...JSON.parse(element.dataset.lines)];
    const names = JSON.parse(element.dataset.names);
    const chart = drawn.get(element);
    if (chart && chart.series.length === names.length + 1) {
      chart.setData(data);
      return;
    }
    element.replaceChildren();
    drawn.set(element, new uPlot(options(element, names), data, element));
  }

  function all() {
    for (const element of document.querySelectorAll("[data-chart]")) draw(element);
  }

  function anew() {
    for (const element of document.querySelectorAll("[data-chart]")) drawn.delete(element);
    all();
  }

  all();
  document.addEventListener("htmx:after:swap", all);
  window.addEventListener("resize", () => {
    for (const element of document.querySelectorAll("[data-chart]")) {
      drawn.get(element)?.setSize({ width: element.clientWidth, height: 180 });
    }
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", anew);
})();
