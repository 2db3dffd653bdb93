"""The look of the retrieval widget, as CSS.

Colours are JupyterLab's own where it sets them, so that the widget follows a dark theme.
"""

STYLE = """<style>
.clipnb-retrieval    { padding: 4px 2px; overflow: visible; }

.clipnb-status       { min-height: 40px; line-height: 1.4; color: var(--jp-ui-font-color1, #222); }
.clipnb-status img   { height: 36px; margin: 0 4px; border-radius: 4px; vertical-align: middle; }

.clipnb-gallery      { display: flex; flex-flow: row wrap; align-content: flex-start; gap: 10px;
                       min-height: 250px; padding: 3px; overflow: visible; }

.clipnb-hit          { position: relative; width: 140px; margin: 0; overflow: hidden;
                       border: 1px solid var(--jp-border-color2, #ccc); border-radius: 8px;
                       background: var(--jp-layout-color1, #fff); transition: box-shadow .15s; }
.clipnb-hit:hover,
.clipnb-hit:focus-within
                     { box-shadow: 0 2px 10px rgba(0, 0, 0, .35);
                       border-color: var(--jp-brand-color1, #0072b2); }
.clipnb-hit > .widget-html,
.clipnb-hit > .widget-html > .widget-html-content
                     { margin: 0; width: 100%; }
.clipnb-hit img      { display: block; width: 138px; height: 138px; }
.clipnb-hit p        { height: 80px; margin: 4px 7px 7px; font-size: 12px; line-height: 16px;
                       overflow: hidden; overflow-wrap: anywhere;
                       display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 5;
                       color: var(--jp-ui-font-color1, #222); }
.clipnb-hit b        { color: var(--jp-brand-color1, #0072b2); }

.clipnb-bar          { display: block; height: 4px; background: var(--jp-border-color2, #ddd); }
.clipnb-bar i        { display: block; height: 4px; background: #0072b2; }

.jupyter-button.clipnb-pick
                     { position: absolute; top: 0; left: 0; width: 138px; height: 138px; margin: 0;
                       color: #fff; background: rgba(0, 0, 0, .45);
                       opacity: 0; cursor: pointer; transition: opacity .15s; }
.jupyter-button.clipnb-pick:hover,
.jupyter-button.clipnb-pick:focus-visible
                     { opacity: 1; color: #fff; background: rgba(0, 0, 0, .45); }
.jupyter-button.clipnb-pick:focus-visible
                     { outline: 3px solid #e69f00; outline-offset: -3px; }
</style>"""
