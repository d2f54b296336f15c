"""What is asked of every page in a browser: names, contrast, and the way by the keyboard.

A page is Playwright's, or one of tests/report/browser.py: both evaluate JavaScript.
"""

from __future__ import annotations

from typing import Any

__all__ = ["faint_texts", "unnamed", "unreached"]


def unnamed(page: Any) -> list[str]:
    """List what can be used and is seen, but has no name for those who do not see it."""
    found: list[str] = page.evaluate(f"({_UNNAMED})({_USED!r})")
    return found


def faint_texts(page: Any) -> list[str]:
    """List texts that are seen with less contrast to their ground than WCAG asks for."""
    found: list[str] = page.evaluate(f"({_FAINT})()")
    return found


def unreached(page: Any) -> list[str]:
    """List what can be used and is seen, but is not reached by the tab key from the page's top.

    Args:
        page: One of tests/report/browser.py.
    """
    count = page.evaluate(f"({_COUNT_FOCUSED})({_USED!r})")
    for _ in range(count + 1):
        page.press("Tab")
    found: list[str] = page.evaluate(f"({_NOT_FOCUSED})({_USED!r})")
    return found


_USED = (
    "input, textarea, select, button, a[href], summary, "
    "[role=button], [role=slider], [role=tab], [onclick], [tabindex]"
)
"""What can be used."""

_COUNT_FOCUSED = """(used) => {
  window.reached = new Set();
  document.addEventListener('focusin', (event) => window.reached.add(event.target));
  document.activeElement?.blur();
  return document.querySelectorAll(used).length;
}"""

_NOT_FOCUSED = """(used) => [...document.querySelectorAll(used)]
  .filter((each) => each.checkVisibility({ visibilityProperty: true }) && each.type !== 'hidden')
  .filter((each) => !each.disabled && !window.reached.has(each))
  .map((each) => each.outerHTML.slice(0, 200))"""

_UNNAMED = """(used) => {
  const name = (each) => {
    const by = (each.getAttribute('aria-labelledby') || '').split(/\\s+/).filter(Boolean)
      .map((id) => document.getElementById(id)?.textContent || '').join(' ');
    const labels = [...(each.labels || [])].map((label) => label.textContent).join(' ');
    const inside = [...each.querySelectorAll('[aria-label]')].map((one) => one.ariaLabel).join(' ');
    const isNamedByContent = each.matches('button, a, summary, [role=button], [role=tab]');
    const own = isNamedByContent ? each.textContent.trim() || inside : '';
    return (each.getAttribute('aria-label') || by || labels || own || each.title || '').trim();
  };
  return [...document.querySelectorAll(used)]
    .filter((each) => each.checkVisibility({ visibilityProperty: true }) && each.type !== 'hidden')
    .filter((each) => !name(each))
    .map((each) => each.outerHTML.slice(0, 200));
}"""

_FAINT = """() => {
  const channels = (colour) => {
    const found = colour.match(/[0-9.]+/g).map(Number);
    return [found[0], found[1], found[2], found.length > 3 ? found[3] : 1];
  };
  const over = (top, ground) =>
    [0, 1, 2].map((n) => top[3] * top[n] + (1 - top[3]) * ground[n]).concat(1);
  const ground = (each) => {
    const layers = [];
    for (let at = each; at; at = at.parentElement) {
      layers.push(channels(getComputedStyle(at).backgroundColor));
      if (layers.at(-1)[3] === 1) break;
    }
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const level = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((each) => {
      const share = each / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const opacity = (each) => {
    let share = 1;
    for (let at = each; at; at = at.parentElement) share *= getComputedStyle(at).opacity;
    return share;
  };
  const found = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const each = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim();
    const seen = { opacityProperty: true, visibilityProperty: true };
    if (!text || !each.checkVisibility(seen)) continue;
    if (each.closest('script, style, title, [disabled]')) continue;
    const style = getComputedStyle(each);
    const below = ground(each);
    const colour = channels(each.closest('svg') ? style.fill : style.color);
    colour[3] *= opacity(each);
    const levels = [level(over(colour, below)), level(below)].sort((a, b) => b - a);
    const contrast = (levels[0] + 0.05) / (levels[1] + 0.05);
    const size = parseFloat(style.fontSize);
    const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (contrast < (isLarge ? 3 : 4.5)) {
      found.add(`${contrast.toFixed(2)} ${colour} on ${below}: ${text.slice(0, 60)}`);
    }
  }
  return [...found];
}"""
