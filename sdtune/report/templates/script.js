"use strict";
// A range input says how much of the base's picture lies over the other; pulling the picture sets
// it. The document listens, for a page that is watched puts new pictures in the place of old ones.
{
  const show = (range) => {
    range.closest(".slider").style.setProperty("--at", `${range.value}%`);
    range.setAttribute("aria-valuetext", `${range.value} % base`);
  };
  const pull = (pair, event) => {
    const range = pair.closest(".slider").querySelector("input");
    const box = pair.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    range.value = Math.round(100 * Math.min(1, Math.max(0, share)));
    show(range);
  };
  document.addEventListener("input", ({ target }) => {
    if (target.matches(".slider input")) show(target);
  });
  document.addEventListener("pointerdown", (event) => {
    const pair = event.target.closest(".pair");
    if (!pair) return;
    pair.setPointerCapture(event.pointerId);
    pull(pair, event);
  });
  document.addEventListener("pointermove", (event) => {
    const pair = event.target.closest?.(".pair"); // that which has captured it, if one has
    if (pair?.hasPointerCapture(event.pointerId)) pull(pair, event);
  });
  // a browser that goes back to the page fills in what was chosen
  document.querySelectorAll(".slider input").forEach(show);
}
