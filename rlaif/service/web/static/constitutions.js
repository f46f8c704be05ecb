"use strict";
/* The editor beyond its form: a link to a line puts the cursor there, a case fills the playground. */

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-line], a[data-case]");
  if (!link) return;
  if (link.dataset.line) toLine(event, Number(link.dataset.line));
  else fill(event, link.dataset);
});

function toLine(event, line) {
  const text = document.getElementById("text");
  const lines = text.value.split("\n");
  if (line > lines.length) return;
  const start = lines.slice(0, line - 1).reduce((sum, one) => sum + one.length + 1, 0);
  event.preventDefault();
  document.getElementById(`L${line}`)?.scrollIntoView({ block: "center" });
  text.focus({ preventScroll: true });
  text.setSelectionRange(start, start + lines[line - 1].length);
}

function fill(event, data) {
  const form = document.getElementById("editor");
  event.preventDefault();
  for (const name of ["prompt", "first", "second"]) form.elements[name].value = data[name];
  document.getElementById("price").focus();
}
