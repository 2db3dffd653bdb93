"use strict";
// What is seen: the search box, the images found, each word's share, and the matrix. The answers
// come from page_search.js. Captions and file names are shown as text, never as HTML.

const STEP = 24; // images shown at first, and added by "Show more"
const PAUSE = 150; // milliseconds
const SIDE = 8; // images and texts in the matrix
const MOST_SHARES = 4; // words whose shares stand below an image
const find = id => document.getElementById(id);
const N = IMAGES.rows;

// What is shown now. The browser's history keeps such states, so that Back and Forward work.
// text: the query; or image: the row of the image to search by, else null.
const START = {text: "", image: null, shown: STEP, matrix: false, depth: 0};
let state = START;
let withShares = false;
let firstOfMatrix = 0;
let typing = null; // the timer that waits for the end of typing
let pausing = null; // the timer that waits for a short pause

// ---- parts of the page ------------------------------------------------------------------------

// Make an element. Its children are elements or texts; a text can hold no HTML.
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function describe(row) { // the words that stand for an image
  return PAGE.captions ? trim(PAGE.captions[row][0]) : PAGE.ids[row];
}

function trim(text) { return text.replace(/^[\s.]+|[\s.]+$/g, ""); }

function shorten(text, most = 80) {
  const letters = Array.from(text);
  return letters.length > most ? letters.slice(0, most).join("") + "…" : text;
}

function format(cosine) { // with a true minus sign, and no "-0.00"
  return cosine.toFixed(2).replace(/^-0\.00$/, "0.00").replace("-", "−");
}

function makeImage(row, alt) {
  return make("img", {src: "data:image/webp;base64," + PAGE.thumbnails[row], alt});
}

function share(element, value) { // how full a bar or a cell is, from 0 to 1
  element.style.setProperty("--share", Math.min(1, Math.max(0, value)).toFixed(3));
  return element;
}

// ---- cards: one per image, made when it is first shown ------------------------------------------

const CARDS = new Map(); // row: the card

function makeCard(row) {
  const image = make("button", {className: "image", type: "button"}, makeImage(row, describe(row)));
  image.setAttribute("aria-label", "More like " + shorten(describe(row)));
  image.addEventListener("click", () => go({text: "", image: row, shown: STEP}));
  const card = {
    fill: make("i"),
    caption: make("p", {className: "caption"}),
    shares: make("ul", {className: "shares"}),
  };
  card.bar = make("span", {className: "bar"}, card.fill);
  card.item = make("li", {title: PAGE.ids[row]}, image, card.bar, card.caption, card.shares);
  return card;
}

// Show an image as a hit. score: its cosine, or null if nothing was asked.
function fillCard(row, score, caption, words) {
  if (!CARDS.has(row)) CARDS.set(row, makeCard(row));
  const card = CARDS.get(row);
  card.bar.hidden = score === null;
  share(card.fill, score ?? 0);
  const number = score === null ? [] : [make("b", {}, format(score)), " "];
  card.caption.replaceChildren(...number, caption);
  card.shares.replaceChildren(...(words.length ? listShares(row, words) : []));
  card.shares.hidden = !words.length;
  return card.item;
}

// Return the shares of the words, the largest ones one by one and the rest together.
function listShares(row, words) {
  const shares = words.map(({word, vector}) => [word, IMAGES.dotRow(row, vector)]);
  const largest = shares.filter(([word]) => word !== null)
    .sort((a, b) => Math.abs(b[1]) - Math.abs(a[1])).slice(0, MOST_SHARES);
  const rest = shares.filter(share => !largest.includes(share));
  const items = largest.map(([word, value]) => makeShare(word, value));
  if (rest.length) {
    items.push(makeShare("the rest", rest.reduce((sum, [, value]) => sum + value, 0)));
  }
  return items;
}

function makeShare(word, value) {
  const number = (value < 0 ? "" : "+") + format(value);
  const item = make("li", {title: word}, make("span", {}, word), make("b", {}, number));
  item.classList.toggle("against", value < 0);
  return share(item, Math.abs(value) * 2); // a share of 0.5 fills the line
}

// ---- search -----------------------------------------------------------------------------------

// Return the text below an image: its caption nearest to the query, or its name. A transformer is
// too slow to compare captions at each letter, so there it is the first caption.
function chooseCaption(row, projected) {
  if (!PAGE.captions || !projected) return describe(row);
  return trim(PAGE.captions[row][findNearestCaption(row, projected)]);
}

function draw() {
  find("back").disabled = !state.depth;
  find("matrix-switch").setAttribute("aria-pressed", state.matrix);
  find("search").hidden = state.matrix;
  find("matrix").hidden = !state.matrix;
  if (state.matrix) drawMatrix();
  else drawResults();
}

function drawResults() {
  const asked = state.text.trim();
  const isImage = state.image !== null;
  const vector = isImage ? IMAGES.row(state.image) : encodeQuery(asked);
  const isBlank = !vector && !asked; // then the whole collection is shown
  let [rows, scores, matches] = [isBlank ? Array.from({length: N}, (_, i) => i) : [], null, null];
  if (vector) {
    ({rows, scores} = rank(vector));
    rows = rows.filter(row => row !== state.image);
    const isTyping = findUnknownWords(asked).some(isUnfinished); // then it is too early to tell
    if (!isImage && !isTyping) matches = hasMatch(asked);
  }
  const words = withShares && vector && !isImage ? divideIntoWords(asked) : [];
  const projected = vector && IS_BAG ? PROJECTION.timesTransposed(vector) : null; // (width,)
  const items = rows.slice(0, state.shown).map(row =>
    fillCard(row, scores && scores[row], chooseCaption(row, projected), words));
  find("results").replaceChildren(...items);
  find("search").classList.toggle("nothing-matches", matches === false);
  find("more").hidden = rows.length <= state.shown;
  find("why").disabled = !vector || isImage;
  // The status comes last, so that who hears it can see its images too.
  find("status").replaceChildren(...tell(asked, vector, matches, items.length));
}

// ---- the status: what was asked and found -------------------------------------------------------

function tell(asked, vector, matches, n) {
  if (state.image !== null) {
    const name = shorten(describe(state.image));
    return [makeImage(state.image, ""), make("p", {}, "Nearest to ", make("strong", {}, name))];
  }
  if (!asked) {
    const examples = PAGE.examples.slice(0, 3).map(makeExample);
    const count = `${N.toLocaleString("en")} images.`;
    return [make("p", {}, count + (examples.length ? " Try" : "")), ...examples];
  }
  if (!vector) return [make("p", {}, "The model knows nothing in “", shorten(asked), "”.")];
  const unknown = findUnknownWords(asked).filter(word => !isUnfinished(word));
  const echo = greyUnknown(shorten(asked), unknown);
  const parts = [make("p", {}, `The ${n} nearest to “`, ...echo, "”")];
  if (matches === false) {
    parts.unshift(make("p", {className: "nothing"}, "Nothing here matches."));
  }
  return [...parts, ...unknown.slice(0, 3).flatMap(tellUnknown)];
}

function makeExample(text) {
  const button = make("button", {type: "button"}, shorten(trim(text), 60));
  button.addEventListener("click", () => go({text: trim(text), image: null, shown: STEP}));
  return button;
}

// A word that is still being typed, and may become a known one, is not called unknown. Nor is it
// said then that nothing matches.
function isUnfinished(word) {
  if (!state.text.toLowerCase().normalize("NFC").endsWith(word)) return false;
  return PAGE.words.some(known => known.startsWith(word));
}

function greyUnknown(text, unknown) {
  return text.split(/([\p{L}\p{M}\p{N}]+)/u).map(part =>
    unknown.includes(part.toLowerCase().normalize("NFC"))
      ? make("span", {className: "unknown"}, part)
      : part);
}

function tellUnknown(word) {
  const told = `This model does not know the word “${shorten(word, 40)}”`;
  const correction = word.length > 40 ? null : correct(word);
  if (!correction) return [make("p", {}, told + ".")];
  const button = make("button", {type: "button"}, correction);
  button.addEventListener("click", () =>
    go({text: replaceWord(state.text.trim(), word, correction), image: null, shown: STEP}));
  return [make("p", {}, told + "; did you mean"), button, "?"];
}

// ---- the matrix: eight images, eight texts, all 64 cosines --------------------------------------

const ASKED = []; // the queries of this visit, newest first

function chooseTexts(rows) {
  if (PAGE.captions) return rows.map(row => trim(PAGE.captions[row][0]));
  return [...new Set([...ASKED, ...PAGE.examples.map(trim)])].slice(0, SIDE);
}

function drawMatrix() {
  const n = Math.min(SIDE, N);
  const gap = Math.floor(N / n); // spread over the collection
  const rows = Array.from({length: n}, (_, i) => (firstOfMatrix + i * gap) % N)
    .filter(row => !PAGE.captions || encodeCaption(describe(row))); // without unknown captions
  const texts = chooseTexts(rows).filter(text => encodeCaption(text));
  const cosines = texts.map(text =>
    rows.map(row => IMAGES.dotRow(row, encodeCaption(text)))); // (texts, images)
  const [least, most] = [Math.min(...cosines.flat()), Math.max(...cosines.flat())];
  const table = find("matrix").querySelector("table");
  table.style.setProperty("--columns", rows.length);
  const images = rows.map(row =>
    make("th", {scope: "col", title: PAGE.ids[row]}, makeImage(row, describe(row))));
  const lines = cosines.map((line, i) => {
    const cells = line.map((cosine, j) => {
      const cell = make("td", {className: PAGE.captions && i === j ? "own" : ""}, format(cosine));
      return share(cell, (cosine - least) / (most - least || 1));
    });
    const text = make("th", {scope: "row", title: texts[i]}, make("span", {}, texts[i]));
    return make("tr", {}, text, ...cells);
  });
  table.replaceChildren(
    make("colgroup", {}, make("col", {className: "texts"})),
    make("thead", {}, make("tr", {}, make("td"), ...images)),
    make("tbody", {}, ...lines));
  find("others").hidden = N <= SIDE;
  find("why").disabled = true;
  find("status").replaceChildren(make("p", {}, tellMatrix(cosines)));
}

function tellMatrix(cosines) {
  if (!cosines.length) return "Search for something first. Your queries become the rows.";
  const size = `${cosines[0].length} images and ${cosines.length} texts: the cosine of each pair.`;
  if (!PAGE.captions) return size;
  const right = cosines.filter((line, i) => Math.max(...line) === line[i]).length;
  return `${size} ${right} of ${cosines.length} captions are nearest to their own image.`;
}

// ---- going on and back --------------------------------------------------------------------------

// Show another state, and keep it in the browser's history.
function go(changes) {
  endTyping();
  state = {...state, matrix: false, ...changes};
  if (state.text !== find("query").value.trim()) find("query").value = state.text;
  draw();
  remember();
  window.scrollTo(0, 0);
}

function remember() {
  state = {...state, depth: state.depth + 1};
  history.pushState(state, "");
  find("back").disabled = false;
  const asked = state.text.trim();
  if (asked && !ASKED.includes(asked)) ASKED.unshift(asked);
}

// A query is kept in the history when the typing has rested for a while, not at each letter.
function endTyping() {
  if (typing === null) return;
  clearTimeout(typing);
  typing = null;
  remember();
}

find("query").addEventListener("input", event => {
  state = {...state, text: event.target.value, image: null, shown: STEP, matrix: false};
  clearTimeout(pausing);
  if (IS_BAG) draw();
  else pausing = setTimeout(draw, PAUSE); // a transformer is too slow for each letter
  clearTimeout(typing);
  typing = setTimeout(endTyping, 700);
});

find("form").addEventListener("submit", event => {
  event.preventDefault();
  endTyping();
});

find("back").addEventListener("click", () => {
  endTyping();
  history.back();
});

window.addEventListener("popstate", event => {
  state = event.state ?? START;
  find("query").value = state.text;
  draw();
});

find("why").addEventListener("click", () => {
  withShares = !withShares;
  find("why").setAttribute("aria-pressed", withShares);
  draw();
});

find("matrix-switch").addEventListener("click", () => go({matrix: !state.matrix}));

find("others").addEventListener("click", () => {
  firstOfMatrix = (firstOfMatrix + 1) % N;
  draw();
});

find("more").addEventListener("click", () => {
  const first = state.shown;
  state = {...state, shown: state.shown + STEP};
  history.replaceState(state, "");
  draw();
  find("results").children[first].querySelector("button").focus();
});

// ---- keys: "/" and Escape go to the search box, arrows walk through the images -----------------

document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const isTyping = event.target === find("query");
  if (event.key === "/" && !isTyping) {
    event.preventDefault();
    find("query").select();
  } else if (event.key === "Escape" && !isTyping) {
    find("query").focus();
  } else if (event.key === "ArrowDown" && isTyping) {
    event.preventDefault();
    find("results").querySelector("button")?.focus();
  } else if (event.target.className === "image") {
    walk(event);
  }
});

function walk(event) {
  const images = [...find("results").querySelectorAll(".image")];
  const top = element => Math.round(element.getBoundingClientRect().top);
  const columns = images.filter(image => top(image) === top(images[0])).length;
  const steps = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns};
  if (!(event.key in steps)) return;
  event.preventDefault();
  const next = images[images.indexOf(event.target) + steps[event.key]];
  (next ?? event.target).focus();
}

// ---- start --------------------------------------------------------------------------------------

find("about").textContent = PAGE.about;
if (PAGE.examples.length) {
  find("query").placeholder = "for example: " + shorten(trim(PAGE.examples[0]), 60);
}
state = history.state ?? START;
find("query").value = state.text;
draw();
