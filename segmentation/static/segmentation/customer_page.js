// A customer's page: copying a sentence, and going to the part that an answer was put into.
"use strict";

(function () {
  function copied(button) {
    const words = button.textContent;
    button.textContent = button.dataset.copied;
    setTimeout(() => { button.textContent = words; }, 1500);
  }

  function select(node) {
    const range = document.createRange();
    range.selectNodeContents(node);
    const selection = window.getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const source = document.querySelector(button.dataset.copy);
    if (!source) return;
    if (navigator.clipboard && window.isSecureContext) {
      navigator.clipboard.writeText(source.textContent.trim())
        .then(() => copied(button), () => select(source));
    } else {
      select(source); // without a secure connection the browser copies nothing by itself
    }
  });

  document.addEventListener("htmx:afterSwap", (event) => {
    const asked = event.detail.requestConfig && event.detail.requestConfig.elt;
    const goal = asked && asked.dataset && asked.dataset.go;
    if (goal) document.querySelector(goal).scrollIntoView({ behavior: "smooth", block: "start" });
  });
})();
