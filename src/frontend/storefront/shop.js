// The shop works without this. With it, a button that was pressed says so until its answer is there.
"use strict";

document.addEventListener("submit", (event) => {
  if (!event.target.matches("form[data-once]")) return;
  const button = event.submitter ?? event.target.querySelector("button");
  // After the form has been read, so that nothing of it is left out.
  setTimeout(() => {
    button.disabled = true;
    button.setAttribute("aria-busy", "true");
  });
});

// Who comes back finds the page as it was left, with its buttons at rest.
addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll("button[aria-busy]")) {
    button.disabled = false;
    button.removeAttribute("aria-busy");
  }
});
