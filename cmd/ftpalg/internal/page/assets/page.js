// Renews the sections that changed. The server writes all HTML; a reader keeps the focus and the place.
"use strict";
const state = document.getElementById("live");
function renew(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html");
  for (const next of fresh.querySelectorAll("section[id]")) {
    const old = document.getElementById(next.id);
    if (!old || old.innerHTML === next.innerHTML) continue;
    const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
    const at = [...old.querySelectorAll(".wide")].map((e) => e.scrollLeft);
    old.replaceChildren(...next.childNodes);
    old.querySelectorAll(".wide").forEach((e, i) => { e.scrollLeft = at[i] || 0; });
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  }
}
function follow() {
  const source = new EventSource("live");
  source.onmessage = (e) => {
    renew(e.data);
    state.textContent = "live";
  };
  source.onerror = () => {
    state.textContent = "not connected, trying again";
    if (source.readyState === EventSource.CLOSED) setTimeout(follow, 10000);
  };
}
follow();
