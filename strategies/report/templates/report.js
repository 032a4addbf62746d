"use strict";
document.getElementById("sorting").hidden = false;
// Offers sorting by each column: by number where cells state one, else by text. Without it all stays readable.
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  const original = [...body.rows];
  const compare = (column, sign) => (first, second) => {
    const [a, b] = [first, second].map((row) => row.cells[column]);
    const [x, y] = [a, b].map((cell) => ("value" in cell.dataset ? Number(cell.dataset.value) : NaN));
    if (Number.isNaN(x) !== Number.isNaN(y)) return Number.isNaN(x) ? 1 : -1;
    return sign * (Number.isNaN(x) ? a.textContent.localeCompare(b.textContent) : x - y);
  };
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = heading.textContent;
    heading.replaceChildren(button);
    button.addEventListener("click", () => {
      const next = { descending: "ascending", ascending: "none" }[heading.ariaSort] || "descending";
      for (const other of headings) other.removeAttribute("aria-sort");
      heading.ariaSort = next;
      const rows = next === "none" ? original : [...original].sort(compare(column, next === "ascending" ? 1 : -1));
      body.append(...rows);
    });
  });
}
