"""How the page looks: the report's colours, the system's fonts, light and dark."""

from __future__ import annotations

from typing import Any

import gradio as gr

__all__ = ["make_theme"]

_COLOURS = {  # light, dark
    "body_background_fill": ("#fbfaf7", "#171614"),
    "background_fill_primary": ("#ffffff", "#201e1b"),
    "background_fill_secondary": ("#fbfaf7", "#171614"),
    "block_background_fill": ("#ffffff", "#201e1b"),
    "panel_background_fill": ("#ffffff", "#201e1b"),
    "input_background_fill": ("#ffffff", "#171614"),
    "input_background_fill_focus": ("#ffffff", "#171614"),
    "body_text_color": ("#1f1d1a", "#ebe7df"),
    "body_text_color_subdued": ("#66625a", "#a49e93"),
    "block_label_text_color": ("#66625a", "#a49e93"),
    "block_label_background_fill": ("#ffffff", "#201e1b"),
    "block_title_text_color": ("#1f1d1a", "#ebe7df"),
    "block_info_text_color": ("#66625a", "#a49e93"),
    "input_placeholder_color": ("#66625a", "#a49e93"),
    "border_color_primary": ("#dedad1", "#38352f"),
    "block_border_color": ("#dedad1", "#38352f"),
    "input_border_color": ("#8a857a", "#7b766c"),
    "input_border_color_focus": ("#0b6b62", "#5cc2b4"),
    "slider_color": ("#0b6b62", "#5cc2b4"),
    "button_primary_background_fill": ("#0b6b62", "#5cc2b4"),
    "button_primary_background_fill_hover": ("#09564f", "#7fd2c6"),
    "button_primary_text_color": ("#ffffff", "#171614"),
    "button_primary_text_color_hover": ("#ffffff", "#171614"),
    "button_secondary_background_fill": ("#ece8df", "#38352f"),
    "button_secondary_background_fill_hover": ("#dedad1", "#4a463e"),
    "button_secondary_text_color": ("#1f1d1a", "#ebe7df"),
    "button_secondary_text_color_hover": ("#1f1d1a", "#ebe7df"),
    "checkbox_background_color_selected": ("#0b6b62", "#0b6b62"),
    "checkbox_border_color_selected": ("#0b6b62", "#5cc2b4"),
    "checkbox_label_background_fill": ("#ffffff", "#201e1b"),
    "checkbox_label_background_fill_selected": ("#ece8df", "#38352f"),
    "checkbox_label_text_color": ("#1f1d1a", "#ebe7df"),
    "checkbox_label_text_color_selected": ("#1f1d1a", "#ebe7df"),
}


def make_theme() -> Any:
    """Make the theme; nothing of it is fetched from anywhere."""
    sans = [gr.themes.Font(each) for each in ("system-ui", "sans-serif")]
    mono = [gr.themes.Font(each) for each in ("ui-monospace", "monospace")]
    theme = gr.themes.Base(
        primary_hue="teal", neutral_hue="stone", font=sans, font_mono=mono, spacing_size="sm"
    )
    colours: dict[str, str] = {}
    for name, (light, dark) in _COLOURS.items():
        colours |= {name: light, f"{name}_dark": dark}
    return theme.set(color_accent="#0b6b62", input_border_width="1px", **colours)
