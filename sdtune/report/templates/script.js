"use strict";
// A range input says how much of the base's picture lies over the other; pulling the picture sets it.
for (const figure of document.querySelectorAll(".slider")) {
  const range = figure.querySelector("input");
  const pair = figure.querySelector(".pair");
  const show = () => {
    figure.style.setProperty("--at", `${range.value}%`);
    range.setAttribute("aria-valuetext", `${range.value} % base`);
  };
  const pull = (event) => {
    const box = pair.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    range.value = Math.round(100 * Math.min(1, Math.max(0, share)));
    show();
  };
  range.addEventListener("input", show);
  pair.addEventListener("pointerdown", (event) => {
    pair.setPointerCapture(event.pointerId);
    pull(event);
  });
  pair.addEventListener("pointermove", (event) => {
    if (pair.hasPointerCapture(event.pointerId)) pull(event);
  });
  show();
}
