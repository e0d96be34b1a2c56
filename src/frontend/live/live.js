// Keeps the books on an open page current. Their elements are found by their attributes:
//   <data data-book="9" value="15">15 in stock</data>     what is left
//   <data data-price-of="9" value="28">$28</data>         what it costs
//   <button data-buys="9">                                buys it: disabled when there is none
// The words are the server's: <template id="stock-words" data-none data-few data-few-below data-many data-gone>.
"use strict";

(() => {
  const MOST_BOOKS = 100;
  // A browser has few connections to one place, and a window that nobody sees needs none of them.
  const HIDDEN_MS = 10_000;
  // Doubled from one refusal to the next; a connection that only broke is the browser's own matter.
  const [RETRY_MS, MAX_RETRY_MS] = [2_000, 60_000];
  // Who listens is told once what has changed meanwhile, and not each copy that is sold.
  const SAY_MS = 3_000;

  const words = document.getElementById("stock-words")?.dataset;
  const all = (attribute, id) => document.querySelectorAll(id ? `[${attribute}="${id}"]` : `[${attribute}]`);
  const named = (attribute) => [...all(attribute)].map((element) => element.getAttribute(attribute));
  const forSale = new Set(named("data-buys"));
  const ids = new Set([...forSale, ...named("data-book"), ...named("data-price-of")]);
  if (!words || ids.size === 0) return;
  const address = `/events?books=${[...ids].slice(0, MOST_BOOKS).join(",")}`;

  const inWords = (left) => {
    if (left === null) return words.gone;
    if (left === 0) return words.none;
    return (left < Number(words.fewBelow) ? words.few : words.many).replace("#", left);
  };
  const inDollars = (cost) => (Number.isInteger(cost) ? String(cost) : cost.toFixed(2));

  // A region that is read out, on the page of one book only: a list of many would never be silent.
  let status = null;
  if (forSale.size === 1) {
    status = document.createElement("p");
    status.className = "visually-hidden";
    status.setAttribute("role", "status");
    document.querySelector("main").append(status);
  }
  const news = new Set();
  let saying = 0;
  const say = (element) => {
    news.add(element);
    saying ||= setTimeout(() => {
      saying = 0;
      status.textContent = [...news].map((changed) => changed.textContent).join(", ");
      news.clear();
    }, SAY_MS);
  };

  const show = (id, element, value, text) => {
    element.value = value;
    if (element.textContent === text) return;
    element.textContent = text;
    element.classList.remove("changed");
    // Asking for its size lets the mark begin anew.
    void element.offsetWidth;
    element.classList.add("changed");
    if (status && forSale.has(String(id))) say(element);
  };

  const update = ({ data }) => {
    const { id, numberOfItems, bookCost, gone } = JSON.parse(data);
    const left = gone ? null : numberOfItems;
    for (const element of all("data-book", id)) show(id, element, left ?? 0, inWords(left));
    for (const element of gone ? [] : all("data-price-of", id)) {
      show(id, element, inDollars(bookCost), `$${inDollars(bookCost)}`);
    }
    for (const element of all("data-buys", id)) element.disabled = !left;
  };

  let source = null;
  let timer = 0;
  let retry = RETRY_MS;
  const close = () => {
    clearTimeout(timer);
    source?.close();
    source = null;
  };
  const open = () => {
    clearTimeout(timer);
    if (source || document.visibilityState === "hidden") return;
    source = new EventSource(address);
    source.addEventListener("stock", update);
    source.onopen = () => { retry = RETRY_MS; };
    source.onerror = () => {
      if (source?.readyState !== EventSource.CLOSED) return;
      close();
      timer = setTimeout(open, retry * (0.5 + Math.random()));
      retry = Math.min(2 * retry, MAX_RETRY_MS);
    };
  };
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") return open();
    clearTimeout(timer);
    timer = setTimeout(close, HIDDEN_MS);
  });
  addEventListener("pagehide", close);
  addEventListener("pageshow", open);
  open();
})();
