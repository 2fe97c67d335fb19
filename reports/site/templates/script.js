"use strict";
(() => {
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

  // Theme: what the system says, until the reader says otherwise.
  const order = ["auto", "light", "dark"], button = document.getElementById("theme");
  const stored = () => { try { return localStorage.getItem("theme") || "auto"; } catch { return "auto"; } };
  const show = (theme) => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
  };
  button.hidden = false;
  show(order.includes(stored()) ? stored() : "auto");
  button.addEventListener("click", () => {
    const next = order[(order.indexOf(button.textContent.slice(7)) + 1) % order.length];
    try { localStorage.setItem("theme", next); } catch { /* a file page may have no storage */ }
    show(next);
  });

  // Sort: cells say their value in data-v; the unknown comes last either way.
  const value = (row, column) => row.cells[column].dataset.v ?? row.cells[column].textContent.trim();
  const before = (a, b) => {
    const [x, y] = [Number(a), Number(b)];
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
  };
  const sort = (table, header) => {
    const down = header.getAttribute("aria-sort") === "ascending", column = header.cellIndex;
    $$("th[aria-sort]", table).forEach((other) => other.setAttribute("aria-sort", "none"));
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = $$("tbody > tr", table).sort((a, b) => {
      const [x, y] = [value(a, column), value(b, column)];
      if (x === "" || y === "") return (x === "") - (y === "");
      return down ? before(y, x) : before(x, y);
    });
    table.tBodies[0].append(...rows);
  };
  $$("table.sortable").forEach((table) => $$("th[aria-sort]", table).forEach((header) => {
    const text = header.textContent, press = document.createElement("button");
    press.type = "button";
    press.textContent = text;
    header.replaceChildren(press);
    press.addEventListener("click", () => sort(table, header));
  }));

  // Filter: every word must stand in the row.
  const form = document.getElementById("filter");
  if (!form) return;
  form.hidden = false;
  const rows = $$("tr[data-filter]"), count = document.getElementById("count");
  const apply = () => {
    const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const backend = form.elements.backend.value, division = form.elements.division.value;
    let shown = 0;
    for (const row of rows) {
      const hit = words.every((word) => row.dataset.filter.includes(word)) &&
        (!backend || row.dataset.backend === backend) && (!division || row.dataset.division === division);
      row.hidden = !hit;
      shown += hit;
    }
    $$("[data-division].board").forEach((board) => { board.hidden = Boolean(division) && board.dataset.division !== division; });
    count.textContent = shown === rows.length ? `${rows.length} rows` : `${shown} of ${rows.length} rows`;
  };
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(apply));
  apply();
})();
