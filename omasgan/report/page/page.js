"use strict";

// Tables: a heading sorts its column, largest numbers first; cells without a value stay last.
const valueOf = (cell) => {
  if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
  const text = cell.textContent.trim();
  return text === "-" || text === "" ? null : text;
};

const compare = (a, b) =>
  typeof a === "number" && typeof b === "number"
    ? a - b
    : String(a).localeCompare(String(b), "en", { numeric: true });

const sort = (heading) => {
  const column = heading.cellIndex;
  const body = heading.closest("table").tBodies[0];
  const first = heading.classList.contains("number") ? "descending" : "ascending";
  const other = first === "ascending" ? "descending" : "ascending";
  const order = heading.getAttribute("aria-sort") === first ? other : first;
  for (const cell of heading.parentNode.cells) cell.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", order);
  const lines = [...body.rows].map((row) => [valueOf(row.cells[column]), row]);
  lines.sort(([a], [b]) => {
    if (a === null || b === null) return (a === null) - (b === null);
    return order === "ascending" ? compare(a, b) : compare(b, a);
  });
  body.append(...lines.map(([, row]) => row));
};

for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => sort(button.closest("th")));
}

// Plots: a button for each series; below the plot, the tip of the point that was touched.
for (const figure of document.querySelectorAll("figure")) {
  const named = new Map();
  for (const part of figure.querySelectorAll("[data-series]")) {
    const name = part.dataset.series;
    named.set(name, [...(named.get(name) || []), part]);
  }
  if (named.size > 1) {
    const group = document.createElement("div");
    group.className = "toggles";
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", "shown in the plot");
    for (const [name, parts] of named) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = name;
      button.setAttribute("aria-pressed", "true");
      // a path among definitions is not drawn itself, and has no colour
      const drawn = parts.flatMap((part) => [...part.querySelectorAll("path, use")]);
      const line = drawn.find((one) => !one.closest("defs")) || parts[0];
      const { stroke, fill } = getComputedStyle(line);
      const swatch = document.createElement("span");
      swatch.className = "swatch";
      swatch.style.background = stroke === "none" ? fill : stroke;
      button.prepend(swatch);
      button.addEventListener("click", () => {
        const shown = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", String(shown));
        for (const part of parts) part.classList.toggle("hidden", !shown);
      });
      group.append(button);
    }
    figure.prepend(group);
  }
  if (figure.querySelector("svg title")) {
    const tip = document.createElement("output");
    figure.querySelector(".wide").after(tip);
    figure.addEventListener("click", (event) => {
      const point = event.target.closest("svg *");
      const title = point && point.closest("svg :has(> title)");
      tip.textContent = title ? title.querySelector("title").textContent : "";
    });
  }
}
