// Shows the cases that a reader asks for. Without this script all of them are there, folded.
"use strict";
(() => {
  for (const form of document.querySelectorAll("[data-search-cases]")) {
    const rows = [...form.parentElement.querySelectorAll("details[data-kinds]")];
    const texts = rows.map((row) => row.textContent.toLowerCase());
    const show = () => {
      const text = form.elements.text.value.trim().toLowerCase();
      const kind = form.elements.kind.value;
      let count = 0;
      rows.forEach((row, index) => {
        const isKind = !kind || row.dataset.kinds.split(" ").includes(kind);
        row.hidden = !(isKind && texts[index].includes(text));
        count += row.hidden ? 0 : 1;
      });
      form.querySelector("output").textContent = `${count} of ${rows.length}`;
    };
    form.addEventListener("input", show);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.hidden = false;
    show();
  }
})();
