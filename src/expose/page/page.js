
(() => {
  "use strict";
  const zone = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });
  const stored = (change) => { try { return change(localStorage); } catch { return null; } };

  // Instants say the reader's own time, too; requests have a button that copies them.
  function enrich() {
    for (const time of document.querySelectorAll("time")) {
      const instant = new Date(time.dateTime);
      if (!Number.isNaN(instant.getTime())) time.title = time.dateTime + " = " + zone.format(instant);
    }
    for (const pre of document.querySelectorAll("pre.request")) {
      const button = document.createElement("button");
      button.type = "button"; button.className = "copy"; button.textContent = "Copy";
      button.addEventListener("click", async () => {
        getSelection().selectAllChildren(pre);
        try { await navigator.clipboard.writeText(pre.textContent); button.textContent = "Copied"; }
        catch { button.textContent = "Selected"; }
      });
      pre.before(button);
    }
  }

  // The way back to the front page leads to the last view of it.
  function remember() {
    if (location.pathname === "/") stored((store) => store.setItem("view", location.search));
    else {
      const view = stored((store) => store.getItem("view"));
      if (view) for (const link of document.querySelectorAll('.brand a[href="/"]')) link.href = "/" + view;
    }
  }

  // A page that follows renews itself, and says so when the daemon does not answer.
  async function renew() {
    const focused = document.activeElement?.getAttribute("href");
    try {
      const answer = await fetch(location.href, { cache: "no-store" });
      if (!answer.ok) throw new Error(answer.status);
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of ["header", "main", "footer"]) {
        const [old, next] = [document.querySelector(part), fresh.querySelector(part)];
        if (old && next) old.replaceWith(next);
      }
      document.title = fresh.title;
      document.querySelector("link[rel=icon]").href = fresh.querySelector("link[rel=icon]").href;
      document.querySelector(".stale")?.remove();
      enrich();
      if (focused) [...document.links].find((link) => link.getAttribute("href") === focused)?.focus();
    } catch {
      if (document.querySelector(".stale")) return;
      const note = document.createElement("p");
      note.className = "stale"; note.setAttribute("role", "alert");
      note.textContent = "The daemon does not answer: this page is as old as it says.";
      document.querySelector("header").append(note);
    }
  }

  enrich();
  remember();
  if ("follow" in document.body.dataset) setInterval(renew, 60000);
})();
