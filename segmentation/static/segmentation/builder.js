// The form of the builder is drawn by the server. While an answer is on its way people go on
// typing: what they typed since is put into the new form, and late answers are left out.
(() => {
  const waiting = new WeakMap(); // request -> what the fields said when it was sent
  let newest = null;
  let typed = [];

  const fields = () => {
    const seen = new Map();
    const found = new Map();
    for (const field of document.querySelectorAll("#editor [name]")) {
      if (["hidden", "submit", "button"].includes(field.type)) continue;
      const number = seen.get(field.name) || 0;
      seen.set(field.name, number + 1);
      found.set(`${field.name}#${number}`, field);
    }
    return found;
  };
  const said = (field) => (field.type === "checkbox" ? field.checked : field.value);
  // A browser tells of a change only when a person made it in this very field; what was carried
  // over from the field before has to be told for it, at the latest when the field is left.
  const tellLater = (field) => {
    const tell = () => field.dispatchEvent(new Event("change", { bubbles: true }));
    if (document.activeElement !== field) {
      // Not before the new form listens.
      document.addEventListener("htmx:afterSettle", tell, { once: true });
      return;
    }
    let isTold = false;
    field.addEventListener("change", () => { isTold = true; }, { once: true });
    field.addEventListener("blur", () => { if (!isTold) tell(); }, { once: true });
  };
  const isEditor = (event) => event.detail.target && event.detail.target.id === "editor";

  document.addEventListener("htmx:beforeRequest", (event) => {
    if (!isEditor(event)) return;
    newest = event.detail.xhr;
    // After an act the places of the fields are others, so nothing is carried over.
    const isAct = Boolean(event.detail.requestConfig.parameters.act);
    const before = new Map();
    if (!isAct) for (const [place, field] of fields()) before.set(place, said(field));
    waiting.set(newest, before);
  });

  document.addEventListener("htmx:beforeSwap", (event) => {
    if (!isEditor(event)) return;
    if (event.detail.xhr !== newest) {
      event.detail.shouldSwap = false;
      return;
    }
    const before = waiting.get(newest);
    typed = [...fields()]
      .filter(([place, field]) => before.has(place) && before.get(place) !== said(field))
      .map(([place, field]) => [place, said(field)]);
  });

  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target.id !== "editor" || !typed.length) return;
    const now = fields();
    for (const [place, value] of typed) {
      const field = now.get(place);
      if (!field) continue;
      if (field.type === "checkbox") field.checked = value;
      else field.value = value;
      tellLater(field);
    }
    typed = [];
  });
})();
