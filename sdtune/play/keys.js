// Ctrl+Enter draws what is in view, the grid or the picture; Escape stops drawing.
document.addEventListener("keydown", (event) => {
  const seen = (id) => {
    const button = document.getElementById(id);
    return button && button.offsetParent !== null ? button : null;
  };
  let button = null;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    button = seen("draw-grid") || seen("draw");
  } else if (event.key === "Escape") {
    button = seen("stop");
  }
  if (button) {
    if (event.key === "Enter") event.preventDefault();
    button.click();
  }
}, true);

// A slider that is moved by keys is let go of when they rest, as by the mouse.
const moves = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "PageUp", "PageDown", "Home", "End"];
let rest = 0;
document.addEventListener("keyup", (event) => {
  if (event.target.type !== "range" || !moves.includes(event.key)) return;
  clearTimeout(rest);
  rest = setTimeout(() => event.target.dispatchEvent(new PointerEvent("pointerup", { bubbles: true })), 400);
});
