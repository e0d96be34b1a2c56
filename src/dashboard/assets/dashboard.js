// Keeps the page up to date: the server sends the part that changes once a second, and what is new of it is put
// in place. Nothing here knows what the page shows.
'use strict';
(() => {
  const live = document.getElementById('live');
  const connection = document.getElementById('connection');
  // How long to wait before another attempt when the server takes no more viewers, in milliseconds.
  const PAUSE = 5000;
  let source = null;

  function say(text, lost) {
    if (connection.textContent !== text) connection.textContent = text;
    connection.classList.toggle('lost', lost);
  }

  // Makes `is` what `should` is, keeping what is the same: so focus, selection and motion survive.
  function become(is, should) {
    if (is.nodeType !== should.nodeType || is.nodeName !== should.nodeName) {
      is.replaceWith(should.cloneNode(true));
      return;
    }
    if (is.nodeType !== Node.ELEMENT_NODE) {
      if (is.data !== should.data) is.data = should.data;
      return;
    }
    for (const { name } of [...is.attributes]) {
      if (!should.hasAttribute(name)) is.removeAttribute(name);
    }
    for (const { name, value } of should.attributes) {
      if (is.getAttribute(name) !== value) is.setAttribute(name, value);
    }
    childrenBecome(is, should);
  }

  function childrenBecome(is, should) {
    const [old, young] = [[...is.childNodes], [...should.childNodes]];
    young.forEach((child, index) => {
      if (index < old.length) become(old[index], child);
      else is.append(child.cloneNode(true));
    });
    old.slice(young.length).forEach((child) => child.remove());
  }

  function open() {
    if (source) return;
    source = new EventSource('/dashboard/events');
    source.addEventListener('page', (event) => {
      const template = document.createElement('template');
      template.innerHTML = event.data;
      childrenBecome(live, template.content);
      say('Live, once a second', false);
    });
    source.addEventListener('view', (event) => {
      document.dispatchEvent(new CustomEvent('view', { detail: JSON.parse(event.data) }));
    });
    source.addEventListener('error', () => {
      say('The connection is lost. This is the last that was known; trying again.', true);
      if (source && source.readyState === EventSource.CLOSED) {
        close();
        setTimeout(watch, PAUSE);
      }
    });
  }

  function close() {
    if (source) source.close();
    source = null;
  }

  // Who does not look need not be told.
  function watch() {
    if (document.hidden) close();
    else open();
  }

  document.addEventListener('visibilitychange', watch);
  watch();
})();
