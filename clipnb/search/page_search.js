"use strict";
// Search in plain JavaScript: which images are nearest to a text, which words speak for an image,
// and whether anything matches at all. Nothing here touches what is seen; page.js does that.
//
// N: images of the page. M: images of the bank. D: numbers in the vector of a text or an image.

const IMAGES = new Matrix(PAGE.features); // (N, D), rows of length 1

// Return the rows of all images, nearest first, and their cosines in the order of the page.
function rank(vector) {
  const scores = IMAGES.times(vector); // (N,)
  const rows = Array.from(scores.keys()).sort((a, b) => scores[b] - scores[a]);
  return {rows, scores};
}

// Return which caption of an image is nearest to a query, for a bag of words: there a caption is a
// mean of tokens, so its product with the query is the mean of the tokens' products.
// projected: PROJECTION.timesTransposed(query), (width,), what the query is to a token.
function findNearestCaption(row, projected) {
  const cosines = PAGE.captions[row].map((caption, i) => {
    const ids = findCaptionIds(caption); // (T,)
    const sum = ids.reduce((total, id) => total + ENCODER.embedding.dotRow(id, projected), 0);
    return sum / ids.length / PAGE.caption_lengths[row][i];
  });
  return cosines.indexOf(Math.max(...cosines));
}

const CAPTION_IDS = new Map(); // caption: the ids of its tokens, kept once found

function findCaptionIds(caption) {
  if (!CAPTION_IDS.has(caption)) {
    const tokens = addStartAndEnd(TOKENIZER.tokenize(caption));
    CAPTION_IDS.set(caption, tokens.map(token => token.id));
  }
  return CAPTION_IDS.get(caption);
}

// ---- short queries ------------------------------------------------------------------------------
//
// A query of one or two words is no caption, and its vector lies away from those of captions. How
// captions change when the words are put before them is a better vector (clipnb/search/bank.py).

function isShort(text) {
  const words = findWords(text);
  const content = words.filter(word => !PAGE.bank.function_words.includes(word)).length;
  return (1 <= content && content <= PAGE.bank.short) || words.length === 1;
}

const DIRECTIONS = new Map(); // text: its direction, kept once computed

function findDirection(text) { // (D,), of length 1
  if (!DIRECTIONS.has(text)) {
    const changes = PAGE.bank.contexts.map(caption =>
      subtract(encodeText(`${text} ${caption}`), encodeCaption(caption)));
    DIRECTIONS.set(text, normalize(mean(changes)));
  }
  return DIRECTIONS.get(text);
}

// Return the vector of a query (D,), of length 1, or null if the model knows nothing in it.
function encodeQuery(text) {
  const isKnown = TOKENIZER.tokenize(text).length > 0;
  return PAGE.bank && isKnown && isShort(text) ? findDirection(text) : encodeText(text);
}

// ---- each word's share --------------------------------------------------------------------------

// For each word of a query return a vector whose product with the vector of an image is the word's
// share of their cosine: [{word, vector}, ...].
//
// In a bag of words the shares add up to the cosine, because mean and projection are linear; the
// word of start, end and punctuation is null. For a transformer or a short query, a share is what
// the cosine loses when the word is left out.
function divideIntoWords(text) {
  const tokens = TOKENIZER.tokenize(text).map(({id, word}) =>
    ({id, word: word.match(/[\p{L}\p{N}]/u) ? word : null})); // (T,)
  const words = [...new Set(tokens.map(token => token.word))].filter(word => word !== null);
  if (PAGE.bank && isShort(text)) {
    const whole = findDirection(text);
    return words.map(word => {
      const rest = words.filter(other => other !== word).join(" ");
      return {word, vector: rest ? subtract(whole, findDirection(rest)) : whole};
    });
  }
  const all = addStartAndEnd(tokens);
  if (IS_BAG) {
    const whole = PROJECTION.times(ENCODER.encode(all.map(token => token.id))); // (D,)
    const factor = 1 / (Math.sqrt(dot(whole, whole)) * all.length);
    return [...words, null].map(word => {
      const own = all.filter(token => token.word === word);
      const sum = own.map(token => ENCODER.embedding.row(token.id)).reduce(add); // (width,)
      return {word, vector: scale(PROJECTION.times(sum), factor)};
    });
  }
  const whole = encodeTokens(all);
  return words.map(word => {
    const others = all.filter(token => token.word !== word);
    return {word, vector: subtract(whole, encodeTokens(others))};
  });
}

// ---- does anything match? -----------------------------------------------------------------------
//
// Each word is asked of images of the training set as well, the bank. The collection matches if its
// best images fit every word about as well as the bank's best do (clipnb/search/bank.py).

const BANK_IMAGES = PAGE.bank && new Matrix(PAGE.bank.features); // (M, D)
const WORD_SCORES = new Map(); // word: how well it is answered, kept once computed

// Tell whether any image matches a text; null if the page cannot tell.
function hasMatch(text) {
  const threshold = PAGE.bank?.thresholds[isShort(text) ? "short" : "long"] ?? null;
  const words = findWords(text).slice(0, PAGE.bank?.most_words);
  if (threshold === null || !IMAGES.rows || !words.length) return null;
  if (!TOKENIZER.tokenize(text).length) return null;
  let content = words.filter(word => !PAGE.bank.function_words.includes(word));
  if (!content.length) content = words;
  const seen = content.filter(word => KNOWN.has(word));
  const unseen = content.length - seen.length;
  if (!seen.length || (unseen && unseen >= PAGE.bank.most_unseen * words.length)) return false;
  return seen.every(word => scoreWord(word) >= threshold);
}

// Compare the cosines of the best images with those of the bank's best, in standard deviations.
function scoreWord(word) {
  if (!WORD_SCORES.has(word)) {
    const vector = findDirection(word);
    const [there, here] = [IMAGES.times(vector), BANK_IMAGES.times(vector)]; // (N,), (M,)
    const bestThere = meanOfLargest(there, PAGE.bank.n_there);
    const bestHere = meanOfLargest(here, PAGE.bank.n_here);
    const spread = Math.max(deviation(here), PAGE.bank.least_deviation);
    WORD_SCORES.set(word, (bestThere - bestHere) / spread);
  }
  return WORD_SCORES.get(word);
}

function meanOfLargest(numbers, n) {
  const largest = numbers.slice().sort().slice(-n);
  return largest.reduce((sum, value) => sum + value) / largest.length;
}

function deviation(x) { // with x.length - 1, as in torch
  const average = x.reduce((sum, value) => sum + value) / x.length;
  const centred = x.map(value => value - average);
  return Math.sqrt(dot(centred, centred) / (x.length - 1));
}

// ---- words ------------------------------------------------------------------------------------

const KNOWN = new Set(PAGE.words); // those of the training captions, else those of the vocabulary

function findWords(text) {
  return [...new Set(text.toLowerCase().normalize("NFC").match(WORD) ?? [])];
}

// Return the words that the model does not know: they were in no training caption. If the page does
// not have these, then they are no single token, so that the model has hardly met them.
function findUnknownWords(text) {
  const isKnown = word => PAGE.bank ? KNOWN.has(word) : TOKENIZER.isSingleToken(word);
  return findWords(text).filter(word => !isKnown(word));
}

// Return a text with one of its words (see findWords) replaced wherever it stands alone.
function replaceWord(text, word, other) {
  const escaped = word.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
  const letter = "[\\p{L}\\p{M}\\p{Nl}\\p{No}]";
  const pattern = new RegExp(`(?<!${letter}|['’])${escaped}(?!${letter})`, "giu");
  return text.normalize("NFC").replace(pattern, () => other);
}

// Return the known word that a misspelt one most likely stands for, or null: at most one edit
// away, in a word of eight letters or more two. The same letters in another order are the most
// likely, then the same first letter, then the word that was learned first.
function correct(word) {
  if (word.length < 3) return null;
  const letters = text => [...new Set(text)].sort().join("");
  for (const most of word.length < 8 ? [1] : [1, 2]) {
    const near = PAGE.words.filter(known =>
      Math.abs(known.length - word.length) <= most && (most < 2 || known[0] === word[0])
      && countEdits(word, known) <= most);
    const cost = known =>
      2 * (letters(known) !== letters(word)) + (known[0] !== word[0]);
    const least = Math.min(...near.map(cost));
    const found = near.filter(known => cost(known) === least);
    if (word.length <= 4 && found.length > 3) return null; // it may mean any of them
    if (found.length) return found[0];
  }
  return null;
}

// Count the letters to insert, delete, replace or swap with the next to turn one word into another.
function countEdits(from, to) {
  const rows = [Array.from({length: to.length + 1}, (_, j) => j)];
  for (let i = 1; i <= from.length; i++) {
    rows[i] = [i];
    for (let j = 1; j <= to.length; j++) {
      const replaced = rows[i - 1][j - 1] + (from[i - 1] === to[j - 1] ? 0 : 1);
      rows[i][j] = Math.min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, replaced);
      const isSwap = i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1];
      if (isSwap) rows[i][j] = Math.min(rows[i][j], rows[i - 2][j - 2] + 1);
    }
  }
  return rows[from.length][to.length];
}
