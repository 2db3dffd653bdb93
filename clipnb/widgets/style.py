"""The look of the widgets, as CSS.

Colours are JupyterLab's own where it sets them, so that the widgets follow a dark theme. No width
is fixed that a narrow pane could not hold.
"""

RETRIEVAL_STYLE = """
.clipnb-retrieval    { padding: 4px 2px; overflow: visible; }
.clipnb-controls     { display: flex; flex-flow: row wrap; align-items: center; gap: 2px 8px;
                       overflow: visible; }
.clipnb-controls > *
                     { min-width: 0; max-width: 100%; margin: 2px; }
.clipnb-controls > .clipnb-query
                     { flex: 1 1 260px; max-width: 460px; }

.clipnb-status       { min-height: 44px; margin: 4px 2px; overflow: visible; }
.clipnb-status > .widget-html-content
                     { line-height: 1.4; white-space: normal; overflow-wrap: anywhere;
                       color: var(--jp-ui-font-color1, #222); }
.clipnb-status img   { width: 36px; height: 36px; margin: 0 4px; border-radius: 4px;
                       vertical-align: middle; }

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
                       overflow: hidden; overflow-wrap: anywhere; white-space: normal;
                       display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 5;
                       color: var(--jp-ui-font-color1, #222); }
.clipnb-hit b        { color: var(--jp-ui-font-color0, #000); }

.clipnb-bar          { display: block; height: 4px; background: var(--jp-border-color2, #ddd); }
.clipnb-bar i        { display: block; height: 4px; background: #0072b2; }

.jupyter-button.clipnb-pick
                     { position: absolute; top: 0; left: 0; width: 138px; height: 138px; margin: 0;
                       padding: 6px; line-height: 16px; white-space: normal; overflow: hidden;
                       color: #fff; background: rgba(0, 0, 0, .65);
                       opacity: 0; cursor: pointer; transition: opacity .15s; }
.jupyter-button.clipnb-pick:hover,
.jupyter-button.clipnb-pick:focus-visible
                     { opacity: 1; color: #fff; background: rgba(0, 0, 0, .65); }
.jupyter-button.clipnb-pick:focus-visible
                     { outline: 3px solid #e69f00; outline-offset: -3px; }
"""

PROMPT_LAB_STYLE = """
.clipnb-lab          { padding: 4px 2px; overflow: visible; }
.clipnb-lab > .widget-text,
.clipnb-lab > .widget-slider
                     { width: auto; max-width: 620px; }
.clipnb-lab .widget-html-content
                     { line-height: 1.5; white-space: normal; overflow-wrap: anywhere;
                       color: var(--jp-ui-font-color1, #222); }

.clipnb-exam         { display: flex; flex-flow: row wrap; gap: 8px 16px; align-items: flex-start; }
.clipnb-exam figure  { width: 138px; margin: 0; }
.clipnb-exam img     { display: block; }
.clipnb-bars         { flex: 1 1 240px; max-width: 480px; min-width: 0; }
.clipnb-bars > div   { display: flex; align-items: center; gap: 8px; margin: 2px 0; }
.clipnb-bars span    { flex: 0 1 110px; line-height: 1.2; }
.clipnb-bars i       { flex: 1 1 100px; height: 12px; }
.clipnb-bars u       { display: block; height: 12px; }
.clipnb-bars b       { flex: 0 0 44px; text-align: right; font-weight: normal; }
"""
