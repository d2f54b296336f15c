"use strict";
// Every few seconds the parts that have changed are put in the place of the old ones. What is looked
// at stays where it is, and what was opened, chosen or focused stays so.
{
  const main = document.querySelector("main");
  const digests = new Map(); // part -> what it was when it came, as the server names it
  const key = (part) => part.getAttribute("aria-labelledby") ?? "header";
  const parts = () => [document.querySelector("header"), ...main.children];
  const controls = (part) => [...part.querySelectorAll("summary, button, input, a, [tabindex]")];

  const keep = (old, fresh) => {
    const opened = [...old.querySelectorAll("details")];
    fresh.querySelectorAll("details").forEach((each, n) => (each.open = opened[n]?.open ?? false));
    for (const range of old.querySelectorAll("input[type=range]")) {
      const same = fresh.querySelector(`#${range.id}`);
      if (!same) continue;
      same.value = range.value;
      same.setAttribute("aria-valuetext", range.getAttribute("aria-valuetext"));
      same.closest(".slider").style.setProperty("--at", `${range.value}%`);
    }
  };
  const replace = (old, fresh) => {
    const focused = controls(old).indexOf(document.activeElement);
    const scrolled = [...old.querySelectorAll(".scroll, pre")].map((each) => each.scrollLeft);
    keep(old, fresh);
    old.replaceWith(fresh);
    fresh.querySelectorAll(".scroll, pre").forEach((each, n) => (each.scrollLeft = scrolled[n] ?? 0));
    if (focused >= 0) controls(fresh)[focused]?.focus({ preventScroll: true });
  };
  // what is being pulled, pressed or selected is left until the next time
  const isBusy = (part) => {
    const selection = getSelection();
    return part.matches(":active") || (!selection.isCollapsed && selection.containsNode(part, true));
  };
  const element = (html) => new DOMParser().parseFromString(html, "text/html").body.firstElementChild;

  const update = (answer) => {
    const anchor = parts().find((each) => each.getBoundingClientRect().bottom > 0);
    const anchorKey = anchor && key(anchor);
    const top = anchor?.getBoundingClientRect().top;
    const old = new Map(parts().map((each) => [key(each), each]));
    let last = null;
    for (const { name, digest, html } of answer.parts) {
      let part = old.get(name);
      if (html !== null && !(part && isBusy(part))) {
        const fresh = element(html);
        if (part) replace(part, fresh);
        part = fresh;
        digests.set(name, digest);
      }
      old.delete(name);
      if (!part || name === "header") continue;
      const place = last ? last.nextElementSibling : main.firstElementChild;
      if (part !== place) main.insertBefore(part, place);
      last = part;
    }
    for (const [name, part] of old) {
      digests.delete(name);
      part.remove();
    }
    document.title = answer.title;
    const same = parts().find((each) => key(each) === anchorKey);
    const moved = same && scrollY > 0 ? same.getBoundingClientRect().top - top : 0;
    if (moved) scrollTo({ top: scrollY + moved, behavior: "instant" });
  };

  const note = document.createElement("p");
  note.className = "notice";
  note.setAttribute("role", "status");
  const WAIT = 3000; // milliseconds
  let wait = WAIT;
  const look = async () => {
    const have = new URLSearchParams([...digests]);
    const answer = await fetch(`/parts?${have}`, { cache: "no-store" })
      .then((each) => (each.ok ? each.json() : null))
      .catch(() => null);
    if (answer) {
      update(answer);
      note.remove();
      wait = WAIT;
    } else {
      note.textContent = "sdtune watch does not answer: this is how the run was when it last did.";
      if (!note.isConnected) document.body.prepend(note);
      wait = Math.min(60000, 2 * wait);
    }
  };
  const again = async () => {
    if (!document.hidden) await look();
    setTimeout(again, wait);
  };
  document.addEventListener("visibilitychange", () => document.hidden || look());

  document.addEventListener("click", async ({ target }) => {
    const button = target.closest("button[data-token]");
    if (!button) return;
    button.disabled = true;
    const said = button.parentElement.querySelector("[role=status]");
    try {
      const headers = { "X-Sdtune-Token": button.dataset.token };
      const answer = await fetch("/stop", { method: "POST", headers });
      said.textContent = await answer.text();
    } catch {
      said.textContent = "sdtune watch does not answer. Press Ctrl-C where the run was started.";
      button.disabled = false;
    }
  });

  document.documentElement.style.overflowAnchor = "none"; // `update` sees to it, in every browser
  Object.entries(JSON.parse(main.dataset.parts)).forEach((each) => digests.set(...each));
  setTimeout(again, wait);
}
