"""The look of the widgets, as CSS.

Colours are JupyterLab's own where it sets them, so that the widgets follow a dark theme. No width
is fixed that a narrow pane could not hold.
"""

RETRIEVAL_STYLE = """
.clipnb-retrieval    { padding: 4px 2px; overflow: visible; border-radius: 8px; }
.clipnb-dropping     { outline: 3px dashed var(--jp-brand-color1, #0072b2); outline-offset: 4px; }
.clipnb-controls     { display: flex; flex-flow: row wrap; align-items: center; gap: 2px 8px;
                       overflow: visible; }
.clipnb-controls > *
                     { min-width: 0; max-width: 100%; margin: 2px; }
.clipnb-controls > .clipnb-query
                     { flex: 1 1 260px; max-width: 460px; }
.clipnb-retrieval .jupyter-button
                     { border-radius: 6px; overflow: hidden; text-overflow: ellipsis; }
.clipnb-retrieval :focus-visible
                     { outline: 3px solid #e69f00; outline-offset: 1px; }
.clipnb-which .widget-toggle-buttons, .clipnb-which
                     { overflow: visible; }
.clipnb-which .jupyter-button
                     { width: auto; }

.clipnb-options      { margin: 4px 2px; padding: 6px; border-radius: 8px; overflow: visible;
                       border: 1px solid var(--jp-border-color2, #ccc); }
.clipnb-options .jupyter-button
                     { width: auto; }
.clipnb-options .widget-toggle-buttons,
.clipnb-options .widget-toggle-buttons > div
                     { display: flex; flex-flow: row nowrap; width: auto; overflow: visible; }
.clipnb-options .widget-label
                     { width: auto; margin-right: 8px; }
.clipnb-own          { display: flex; flex-flow: row wrap; align-items: center; gap: 2px 8px;
                       overflow: visible; }
.clipnb-retrieval .widget-upload
                     { font-size: 0; }  /* its text counts files */
.clipnb-retrieval .widget-upload::after
                     { content: "Your own image" / ""; font-size: 13px; }
.clipnb-retrieval .widget-upload i
                     { font-size: 13px; }
.clipnb-drop         { color: var(--jp-ui-font-color1, #222); }
.clipnb-history      { width: 260px; }

.clipnb-status       { min-height: 44px; margin: 4px 2px; overflow: visible; }
.clipnb-status > .widget-html-content
                     { line-height: 1.4; white-space: normal; overflow-wrap: anywhere;
                       color: var(--jp-ui-font-color1, #222); }
.clipnb-status img   { width: 36px; height: 36px; margin: 0 4px; border-radius: 4px;
                       object-fit: cover; vertical-align: middle; }
.clipnb-retrieval .clipnb-aside
                     { color: var(--jp-ui-font-color1, #444); }

.clipnb-unknown      { color: var(--jp-ui-font-color2, #666); text-decoration: underline dotted; }

.clipnb-gallery      { display: grid; grid-template-columns: repeat(auto-fill, minmax(116px, 1fr));
                       align-content: flex-start; gap: 10px; max-width: 1000px;
                       min-height: 250px; padding: 3px; overflow: visible; }

.clipnb-hit          { position: relative; display: flex; flex-flow: column;
                       margin: 0; overflow: hidden;
                       border: 1px solid var(--jp-border-color2, #ccc); border-radius: 8px;
                       background: var(--jp-layout-color1, #fff); transition: box-shadow .15s; }
.clipnb-hit:hover,
.clipnb-hit:focus-within
                     { box-shadow: 0 2px 10px rgba(0, 0, 0, .35);
                       border-color: var(--jp-brand-color1, #0072b2); }
.clipnb-hit > .widget-html,
.clipnb-hit > .widget-html > .widget-html-content
                     { margin: 0; width: 100%; }
.clipnb-hit > .clipnb-picture
                     { order: -1; aspect-ratio: 1; }
.clipnb-hit img      { display: block; width: 100%; height: auto; aspect-ratio: 1;
                       object-fit: cover; }
.clipnb-hit p        { height: 80px; margin: 4px 7px 7px; font-size: 12px; line-height: 16px;
                       overflow: hidden; overflow-wrap: anywhere; white-space: normal;
                       display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 5;
                       color: var(--jp-ui-font-color1, #222); }
.clipnb-hit b        { color: var(--jp-ui-font-color0, #000); }
.clipnb-hit p.clipnb-gone
                     { height: auto; margin: 0; padding: 7px; }
.clipnb-unsure img   { filter: grayscale(1); opacity: .45; }

.clipnb-bar          { display: block; height: 4px; background: var(--jp-border-color2, #ddd); }
.clipnb-bar i        { display: block; height: 4px; background: #0072b2; transition: width .2s; }

.clipnb-retrieval .jupyter-button.clipnb-pick
                     { position: absolute; top: 0; left: 0; width: 100%; height: auto; margin: 0;
                       aspect-ratio: 1; padding: 6px 6px 36px; font-size: 10px; line-height: 12px;
                       white-space: normal; border-radius: 0;
                       color: #fff; background: rgba(0, 0, 0, .65);
                       opacity: 0; cursor: pointer; transition: opacity .15s; }
.clipnb-retrieval .clipnb-hit:hover .clipnb-pick,
.clipnb-retrieval .clipnb-hit:focus-within .clipnb-pick
                     { opacity: 1; color: #fff; background: rgba(0, 0, 0, .65); }
.clipnb-retrieval .jupyter-button.clipnb-pick:focus-visible
                     { outline-offset: -3px; }
.clipnb-tools        { position: absolute; top: 0; left: 0; width: 100%; aspect-ratio: 1;
                       display: flex; align-items: flex-end; justify-content: center; gap: 6px;
                       padding-bottom: 6px; overflow: visible; opacity: 0; pointer-events: none;
                       transition: opacity .15s; }
.clipnb-hit:hover .clipnb-tools,
.clipnb-hit:focus-within .clipnb-tools
                     { opacity: 1; }
@media (hover: none) { .clipnb-tools { opacity: 1; } }
.clipnb-retrieval .clipnb-tools > .jupyter-button
                     { width: 28px; height: 26px; margin: 0; padding: 0; font-size: 0;
                       line-height: 26px; border-radius: 13px; pointer-events: auto;
                       color: #111; background: rgba(255, 255, 255, .92); }
.clipnb-retrieval .clipnb-tools > .jupyter-button:hover
                     { background: #fff; color: #000; }
.clipnb-tools > .jupyter-button::before
                     { font-size: 17px; font-weight: 600; }
.clipnb-add::before      { content: "+" / ""; }
.clipnb-subtract::before { content: "\\2212" / ""; }
.clipnb-open::before     { content: "\\2026" / ""; }
.clipnb-more         { align-self: flex-start; }

.clipnb-details      { display: flex; flex-flow: row wrap; gap: 8px 20px; overflow: visible;
                       margin: 4px 2px 10px; padding: 10px; border-radius: 8px;
                       border: 1px solid var(--jp-border-color2, #ccc);
                       background: var(--jp-layout-color1, #fff); }
.clipnb-details > *  { margin: 0; max-width: 100%; overflow: visible; }
.clipnb-details > :last-child
                     { flex: 1 1 260px; min-width: 0; }
.clipnb-details .widget-html-content
                     { line-height: 1.4; white-space: normal; overflow-wrap: anywhere;
                       color: var(--jp-ui-font-color1, #222); }
.clipnb-details h4   { margin: 0 0 4px; font-size: 15px; }
.clipnb-details p    { margin: 8px 0 2px; }
.clipnb-details ul   { margin: 0; padding-left: 18px; }
.clipnb-large        { position: relative; width: 360px; max-width: 100%; line-height: 0; }
.clipnb-large img    { width: 100%; height: auto; border-radius: 6px; }
.clipnb-large img + img
                     { position: absolute; top: 0; left: 0; height: 100%; }
.clipnb-shares       { border-collapse: collapse; width: 100%; max-width: 340px; font-size: 12px; }
.clipnb-shares th,
.clipnb-shares td    { padding: 1px 6px 1px 0; text-align: left; font-weight: normal;
                       background: none; border: none; }
.clipnb-shares td:nth-child(2)
                     { width: 60%; }
.clipnb-shares i     { display: block; height: 8px; border-radius: 4px; background: #e69f00; }
.clipnb-shares i.minus
                     { background: #0072b2; }
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

MAP_STYLE = """
.clipnb-map-box,
.clipnb-map-box > *  { width: 100%; overflow: visible; }
.clipnb-map          { position: relative; width: 100%; max-width: 1000px; margin: 4px 0;
                       border-radius: 8px; background: var(--jp-layout-color2, #eee); }
.clipnb-map button   { position: absolute; padding: 0; cursor: pointer; border-radius: 4px;
                       border: 1px solid var(--jp-layout-color1, #fff); background-color: #888;
                       transition: transform .12s; }
.clipnb-map button:hover,
.clipnb-map button:focus-visible
                     { transform: scale(2.2); z-index: 2; border-color: #e69f00; }
.clipnb-map button:focus-visible
                     { outline: 2px solid #e69f00; }
.clipnb-map span     { position: absolute; transform: translate(-50%, -50%); z-index: 1;
                       padding: 1px 7px; border-radius: 9px; pointer-events: none;
                       font-size: 12px; line-height: 16px; white-space: nowrap;
                       color: #fff; background: rgba(0, 0, 0, .75); }
.clipnb-map-box p    { margin: 4px 0; }
.clipnb-map-box img
                     { margin-right: 6px; border-radius: 6px; object-fit: cover; }
"""
