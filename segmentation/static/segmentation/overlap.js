// Narrows a list of boxes to those whose name or key has what was typed; chosen ones stay.
"use strict";
for (const field of document.querySelectorAll("[data-filter]")) {
  const options = document.querySelectorAll(`${field.dataset.filter} label`);
  field.parentElement.hidden = false;
  field.addEventListener("input", () => {
    const typed = field.value.trim().toLowerCase();
    for (const option of options) {
      const fits = option.textContent.toLowerCase().includes(typed);
      option.hidden = !fits && !option.querySelector("input").checked;
    }
  });
}
