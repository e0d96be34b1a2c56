// The buttons of `bazar up --demo` without leaving the page. Without this script they are plain forms.
"use strict";

(() => {
  const demo = document.getElementById("demo");
  if (!demo) return;
  const refused = document.getElementById("demo-refused");

  // Anything that is marked with the way to it in the view.
  const shown = (value) => (typeof value === "number" ? value.toLocaleString("en") : (value ?? ""));
  const put = (element, text) => {
    text = String(text);
    if (element.textContent !== text) element.textContent = text;
  };

  function show(view) {
    for (const element of demo.querySelectorAll("[data-demo]")) {
      const value = element.dataset.demo.split(".").reduce((at, name) => at?.[name], view);
      put(element, shown(value));
      if (element.classList.contains("notice")) element.hidden = !value;
    }
    demo.querySelector(".demo-counts").dataset.demoBroken = view.load.violations > 0;
    for (const button of demo.querySelectorAll("[data-demo-while]")) {
      button.disabled = (button.dataset.demoWhile === "running") !== view.load.running;
    }
    for (const process of view.processes) {
      const row = demo.querySelector(`[data-role="${process.role}"]`);
      if (!row) continue;
      const state = row.querySelector("[data-demo-state]");
      state.dataset.demoState = process.state;
      put(state, process.state);
      const pid = row.querySelector("[data-demo-pid]");
      if (pid) put(pid, process.pid ?? "–");
      put(row.querySelector("[data-demo-restarts]"), process.restarts);
    }
    showJournal(view.journal);
  }

  // By number, so that what is being read stays where it is.
  const entries = new Map();
  function showJournal(journal) {
    const list = demo.querySelector(".demo-journal");
    const known = new Set(journal.map((told) => told.id));
    for (const [id, entry] of entries) {
      if (!known.has(id)) { entry.remove(); entries.delete(id); }
    }
    if (entries.size === 0) list.replaceChildren();
    for (const told of [...journal].reverse()) {
      let entry = entries.get(told.id);
      if (!entry) {
        entry = document.createElement("li");
        const time = document.createElement("time");
        time.dateTime = told.at;
        time.textContent = told.at.slice(11, 19);
        const what = document.createElement("strong");
        what.textContent = told.what;
        entry.append(time, " ", what, document.createElement("p"));
        entries.set(told.id, entry);
        list.prepend(entry);
      }
      put(entry.lastChild, told.effect);
      entry.toggleAttribute("data-open", told.open);
    }
  }

  function complain(sentence) {
    put(refused, sentence);
    refused.hidden = false;
  }

  demo.addEventListener("submit", async (event) => {
    event.preventDefault();
    const pressed = Object.fromEntries(new FormData(event.target, event.submitter));
    delete pressed.token;
    refused.hidden = true;
    try {
      // A form with a field of that name hides its own `action`.
      const answer = await fetch(event.target.getAttribute("action"), {
        method: "POST",
        headers: { "content-type": "application/json", accept: "application/json" },
        body: JSON.stringify(pressed),
      });
      const body = await answer.json();
      if (answer.ok) show(body);
      else complain(body.error);
    } catch {
      complain("bazar does not answer any more.");
    }
  });

  document.addEventListener("view", (event) => {
    if (event.detail?.demo) show(event.detail.demo);
  });
})();
