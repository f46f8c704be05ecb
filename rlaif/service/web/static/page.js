"use strict";
/* What every page does beyond HTML: the token on htmx requests, and times that stay fresh. */

(() => {
  const token = document.querySelector('meta[name="csrf"]')?.content;

  document.addEventListener("htmx:config:request", (event) => {
    const { request } = event.detail.ctx;
    if (token && request.method !== "GET") request.headers["X-CSRF-Token"] = token;
  });

  const spans = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

  function ago(moment) {
    const seconds = Math.max(0, Math.round((Date.now() - moment) / 1000));
    const [length, unit] = spans.find(([one]) => seconds >= one) ?? [1, "s"];
    return `${Math.floor(seconds / length)} ${unit} ago`;
  }

  function refresh() {
    for (const element of document.querySelectorAll("time[data-ago]")) {
      const moment = Date.parse(element.dateTime);
      if (!Number.isNaN(moment)) element.textContent = ago(moment);
    }
  }

  refresh();
  document.addEventListener("htmx:after:swap", refresh);
  setInterval(refresh, 5000);
})();
