"""What ipywidgets has no trait for, and readers who listen or use keys need.

The names of slider handles, regions whose changes are read out, and keys that stay with a widget
are attributes of the page. A small script sets them. It runs once, when the widget comes onto the
page, and watches for what is added later.
"""

import html

import ipywidgets

LIVE = "clipnb-live"  # a class of HTML widgets: a screen reader tells what changes in them
OWN_KEYS = "clipnb-keys"  # a class of boxes: JupyterLab's shortcuts do not act on their buttons
CLOSE = "clipnb-close"  # a class of a button: the Escape key clicks it while it is on the screen

# `this` is the <style> element below. It has a load event, so that no image must be fetched.
SCRIPT = (
    """
const box = this.closest('.widget-box');
const prepare = () => {
  for (const slider of box.querySelectorAll('.widget-slider, .slider-container')) {
    const widget = slider.closest('.jupyter-widgets');
    const label = widget.querySelector('.widget-label');
    for (const handle of slider.querySelectorAll('[role=slider]'))
      if (label) handle.setAttribute('aria-label', label.textContent);
  }
  for (const text of box.querySelectorAll('.LIVE > .widget-html-content'))
    text.setAttribute('role', 'status');
  for (const part of box.querySelectorAll('button, select, [tabindex]'))
    if (part.closest('.KEYS')) part.setAttribute('data-lm-suppress-shortcuts', 'true');
  for (const select of box.querySelectorAll('select'))
    if (select.title) select.setAttribute('aria-label', select.title);
};
prepare();
box.addEventListener('keydown', event => {
  const close = box.querySelector('.CLOSE');
  if (event.key != 'Escape' || !close || !close.offsetParent) return;
  event.stopPropagation();
  close.click();
});
new MutationObserver(prepare).observe(box, {childList: true, subtree: true});
""".replace("LIVE", LIVE)
    .replace("KEYS", OWN_KEYS)
    .replace("CLOSE", CLOSE)
)


def make_helper(css: str = "") -> ipywidgets.HTML:
    """Make an invisible child for a box of widgets. Put it first among the box's children.

    It gives the handle of each slider in the box the slider's description as its name. It turns
    HTML widgets of the class `LIVE` into regions that a screen reader follows. It keeps
    JupyterLab's shortcuts away from the buttons in boxes of the class `OWN_KEYS`. It lets Escape
    click a button of the class `CLOSE`. css: the look of the box.
    """
    script = html.escape(" ".join(SCRIPT.split()))
    helper = ipywidgets.HTML(f'<style onload="{script}">{css}</style>')
    helper.layout.display = "none"
    return helper
