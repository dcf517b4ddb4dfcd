// A part of a page that could not be read says so in its place, instead of waiting for ever.
"use strict";
(() => {
  const tell = (event) => {
    const place = event.detail.elt.closest("[data-failed]");
    if (!place) return;
    const words = document.createElement("p");
    words.className = "tw-errors";
    words.setAttribute("role", "alert");
    words.textContent = place.dataset.failed;
    place.replaceChildren(words);
  };
  for (const name of ["htmx:responseError", "htmx:sendError", "htmx:timeout"])
    document.addEventListener(name, tell);
})();
