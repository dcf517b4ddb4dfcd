// Requests of htmx outside a form carry Django's token, read from its cookie.
document.addEventListener("htmx:configRequest", (event) => {
  const found = document.cookie.match(/(?:^|; )tierwise_csrf=([^;]+)/);
  if (found) event.detail.headers["X-CSRFToken"] = found[1];
});
