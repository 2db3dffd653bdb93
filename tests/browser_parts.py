"""What the browser tests ask of a page: barriers, errors, and the images that were found."""

from lab import ERRORS, MINUTES

# What is not ours: JupyterLab shows the figures of a notebook as images without a text, and has no
# way to give one. Our texts for them are in the cells' metadata, where `nbconvert` finds them.
NOT_OURS = [".jp-RenderedImage > img"]
FIND_BARRIERS = """
async ([include, exclude]) => {
  const context = {include: include.map(s => [s]), exclude: exclude.map(s => [s])};
  const result = await axe.run(context, {resultTypes: ['violations']});
  const serious = result.violations.filter(v => ['serious', 'critical'].includes(v.impact));
  return serious.flatMap(v => v.nodes.map(n => `${v.id}: ${n.html.slice(0, 200)}`));
}
"""
# Code is left out: a line of 100 columns scrolls within its own editor, as JupyterLab's readers
# know it, and View > Wrap Lines breaks it.
FIND_SIDEWAYS = """
() => [...document.querySelectorAll('.jp-Notebook, .jp-Notebook *')].filter(part =>
    part.scrollWidth > part.clientWidth + 1 && part.clientWidth > 0
    && ['auto', 'scroll'].includes(getComputedStyle(part).overflowX)
    && !part.closest('.cm-editor'))
  .map(part => `${part.className}: ${part.textContent.slice(0, 60)}`)
"""

# A function without arguments: the images of the hits as data URLs, as they are on the screen.
# An image that is not there yet is null.
READ_HITS = """
() => {
  const widget = document.querySelector('.clipnb-retrieval');
  const hits = [...widget.querySelectorAll('.clipnb-gallery .clipnb-hit')];
  return hits.map(hit => {
    const img = hit.querySelector('img');
    if (!img || !img.complete || !img.naturalWidth) return null;
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [img.naturalWidth, img.naturalHeight];
    canvas.getContext('2d').drawImage(img, 0, 0);
    return canvas.toDataURL();
  });
}
"""
# Tells whether there are hits, all of them are on the screen, and they differ from `before`.
HITS_HAVE_CHANGED = f"""
before => {{
  const hits = ({READ_HITS})();
  return hits.length && !hits.includes(null) && hits.join() != before.join();
}}
"""


def check_no_errors(page):
    errors = page.locator(ERRORS)
    assert not errors.count(), errors.first.inner_text()


def wait_for_other_hits(page, before):
    """Return the hits, as data URLs, once they are complete and differ from `before`."""
    page.wait_for_function(HITS_HAVE_CHANGED, arg=before, timeout=MINUTES)
    return page.evaluate(READ_HITS)


def use_theme(page, name):
    page.get_by_role("menuitem", name="Settings", exact=True).click()
    page.locator(".lm-Menu-item", has_text="Theme").first.hover()
    page.locator(".lm-Menu-item", has_text=name).first.click()
    page.locator(f"body[data-jp-theme-name='{name}']").wait_for(state="attached", timeout=MINUTES)
    page.wait_for_timeout(500)  # colours change slowly
