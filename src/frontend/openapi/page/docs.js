// Sends what a form of the page says, and shows what comes back.
"use strict";

for (const form of document.querySelectorAll("form.try")) {
  form.hidden = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form);
  });
}

/** The request that a form describes. What is left empty is not sent. */
function request(form) {
  const headers = {};
  const query = new URLSearchParams();
  let path = form.dataset.path;
  for (const field of form.querySelectorAll("[data-in]")) {
    if (field.value === "") continue;
    if (field.dataset.in === "path") path = path.replace(`{${field.name}}`, encodeURIComponent(field.value));
    if (field.dataset.in === "query") query.append(field.name, field.value);
    if (field.dataset.in === "header") headers[field.name] = field.value;
  }
  if (query.size > 0) path += `?${query}`;
  const body = form.querySelector("textarea")?.value;
  if (body !== undefined) headers["Content-Type"] = form.dataset.type;
  // The browser's own cache would hide what the store answers.
  return [path, { method: form.dataset.method, headers, body, cache: "no-store" }];
}

async function send(form) {
  const button = form.querySelector("button");
  const came = form.querySelector(".came");
  const [status, took] = came.querySelectorAll("p span");
  const [sent, back] = came.querySelectorAll("code");
  button.disabled = true;
  try {
    const [path, options] = request(form);
    const shown = (name, value) => (name === "Authorization" ? "Bearer …" : value);
    const lines = Object.entries(options.headers).map(([name, value]) => `${name}: ${shown(name, value)}`);
    sent.textContent = [`${options.method} ${path}`, ...lines, ...(options.body ? ["", options.body] : [])].join("\n");
    const begun = performance.now();
    const answer = await fetch(path, options);
    const text = await answer.text();
    took.textContent = `${(performance.now() - begun).toFixed(1)} ms`;
    status.textContent = `${answer.status} ${answer.statusText}`;
    const headers = [...answer.headers].map(([name, value]) => `${name}: ${value}`);
    back.textContent = `${headers.join("\n")}\n\n${pretty(text)}`;
  } catch (error) {
    // Not sent, or no answer came.
    status.textContent = "No answer";
    took.textContent = error.message;
    back.textContent = "";
  }
  button.disabled = false;
  came.hidden = false;
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
