"use strict";

window.addEventListener("DOMContentLoaded", () => {
  const { token, tokenHeader } = document.body.dataset;

  // Kept by this page only, and dead with the login: the browser's own cookie never counts for the API.
  async function tryAsPerson() {
    if (!token) return;
    const answer = await fetch("/docs/token", { method: "POST", headers: { [tokenHeader]: token } });
    if (answer.ok) pages.preauthorizeApiKey("bearer", (await answer.json()).access_token);
  }

  const pages = SwaggerUIBundle({
    url: "/openapi.json",
    dom_id: "#contract",
    deepLinking: true,
    docExpansion: "list",
    // The public validator would be told about this API.
    validatorUrl: null,
    onComplete: tryAsPerson,
  });
});
