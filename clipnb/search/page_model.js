"use strict";
// The text tower in plain JavaScript: a text becomes tokens, and tokens become a vector. It is what
// clipnb/tokenizer.py and clipnb/encoders.py compute, with rounded weights.
//
// T: tokens of a text. D: numbers in the vector of a text or an image.

const PAGE = JSON.parse(document.getElementById("data").textContent);

// ---- numbers ----------------------------------------------------------------------------------

function decodeBytes(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

function decodeFloats(base64) {
  return new Float32Array(decodeBytes(base64).buffer);
}

// A matrix of whole numbers, of 8 or 16 bits, in which each row has a scale of its own.
class Matrix {
  constructor({bits, columns, values, scales}) {
    const Numbers = bits === 8 ? Int8Array : Int16Array;
    this.columns = columns;
    this.values = new Numbers(decodeBytes(values).buffer); // (rows * columns,)
    this.scales = decodeFloats(scales); // (rows,)
    this.rows = this.scales.length;
  }

  row(i) {
    const start = i * this.columns;
    return Float32Array.from(this.values.subarray(start, start + this.columns),
                             value => value * this.scales[i]);
  }

  dotRow(i, x) {
    const start = i * this.columns;
    let sum = 0;
    for (let j = 0; j < this.columns; j++) sum += this.values[start + j] * x[j];
    return sum * this.scales[i];
  }

  times(x) { // (columns,) to (rows,)
    const y = new Float32Array(this.rows);
    for (let i = 0; i < this.rows; i++) y[i] = this.dotRow(i, x);
    return y;
  }

  timesTransposed(x) { // (rows,) to (columns,)
    const y = new Float32Array(this.columns);
    for (let i = 0; i < this.rows; i++) {
      const factor = x[i] * this.scales[i];
      for (let j = 0; j < this.columns; j++) y[j] += this.values[i * this.columns + j] * factor;
    }
    return y;
  }
}

function dot(x, y) {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i] * y[i];
  return sum;
}

function add(x, y) { return x.map((value, i) => value + y[i]); }

function subtract(x, y) { return x.map((value, i) => value - y[i]); }

function scale(x, factor) { return x.map(value => value * factor); }

function normalize(x) { return scale(x, 1 / Math.max(Math.sqrt(dot(x, x)), 1e-12)); }

function mean(vectors) { return scale(vectors.reduce(add), 1 / vectors.length); }

// ---- tokens -----------------------------------------------------------------------------------

// The 256 bytes as characters that can be seen, as in GPT-2's vocabulary. A byte without a visible
// character of its own, such as the space, gets one from U+0100 on.
const BYTE_CHARACTERS = (() => {
  const isVisible = byte => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
  let next = 256;
  return Array.from({length: 256}, (_, byte) =>
    String.fromCodePoint(isVisible(byte) ? byte : next++));
})();

const PIECES = // merges happen inside these: words, contractions, single digits, punctuation
  /'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\p{White_Space}\p{L}\p{N}]+/gu;
const CLIP_PIECES = new RegExp( // the same, as CLIP's own code finds them
  "<[sſ]tart_of_text>|<end_of_text>|'[sſ]|'t|'re|'ve|'m|'ll|'d|" +
  "\\p{L}+|\\p{N}|[^\\p{White_Space}\\p{L}\\p{N}\\u0345]+", "gu");
const WORD = /(?<![\p{L}\p{Nl}\p{No}]['’])(?<![\p{L}\p{Nl}\p{No}])[\p{L}\p{Nl}\p{No}]+/gu;
const END = "</w>"; // ends the last token of a piece

class Tokenizer {
  constructor({entries, merges, specials, start, end, context_length, cleans}) {
    this.entries = entries; // a token's id is its place in this list
    this.ids = new Map(entries.map((entry, id) => [entry, id]));
    this.merges = new Map(); // a pair of ids, as one number: [rank, id of the two together]
    merges.forEach(([left, right, both], rank) =>
      this.merges.set(this.pair(left, right), [rank, both]));
    this.specials = specials; // such as <start_of_text>, when somebody types it
    [this.start, this.end, this.room] = [start, end, context_length - 2];
    this.cleans = cleans; // CLIP's own vocabulary repairs a text first
  }

  pair(left, right) { return left * this.entries.length + right; }

  // Return the tokens of a text with the piece that each comes from: [{id, word}, ...].
  // It is cut to the longest text that the model reads, and has no start and end yet.
  tokenize(text) {
    const tokens = [];
    for (const word of this.split(text)) {
      const ids = this.specials.includes(word) ? [this.ids.get(word)] : this.mergePiece(word);
      for (const id of ids) tokens.push({id, word});
    }
    return tokens.slice(0, this.room);
  }

  // Return the pieces of a text, inside which merges happen.
  split(text) {
    if (this.cleans) return cleanText(text).match(CLIP_PIECES) ?? [];
    return this.splitSpecials(text).flatMap(part => {
      if (this.specials.includes(part)) return [part];
      // Letter by letter, since "Σ" in lower case depends on its place in a word otherwise.
      const spaced = part.normalize("NFC").replace(/\p{White_Space}+/gu, " ");
      const lower = Array.from(spaced, character => character.toLowerCase()).join("");
      return lower.match(PIECES) ?? [];
    });
  }

  splitSpecials(text) {
    const pattern = this.specials.map(special => special.replace(/\W/g, "\\$&")).join("|");
    return text.split(new RegExp(`(${pattern})`)).filter(part => part);
  }

  // Return the ids of a piece. It starts as single bytes, and the two neighbours whose merge was
  // learned first become one, until no neighbours can be merged.
  mergePiece(piece) {
    const bytes = Array.from(new TextEncoder().encode(piece), byte => BYTE_CHARACTERS[byte]);
    bytes[bytes.length - 1] += END;
    const ids = bytes.map(byte => this.ids.get(byte)).filter(id => id !== undefined);
    const findMerge = i => this.merges.get(this.pair(ids[i], ids[i + 1])) ?? [Infinity, null];
    const merges = ids.slice(1).map((_, i) => findMerge(i)); // of each id with the next one
    while (merges.length) {
      let best = 0;
      for (let i = 1; i < merges.length; i++) if (merges[i][0] < merges[best][0]) best = i;
      if (merges[best][0] === Infinity) break;
      ids.splice(best, 2, merges[best][1]);
      merges.splice(best, 1);
      if (best > 0) merges[best - 1] = findMerge(best - 1);
      if (best < merges.length) merges[best] = findMerge(best);
    }
    return ids;
  }

  isSingleToken(word) {
    const ids = this.mergePiece(word);
    return ids.length === 1 && decodeEntry(this.entries[ids[0]]) === word;
  }
}

// Repair a text as CLIP's own code does (clean_text in clipnb/tokenizer.py), and lower-case it. Only
// text that was decoded wrongly ("cafÃ©") stays as it is.
function cleanText(text) {
  const repaired = text
    .replace(/[\x80-\x9f]/g, decodeWindows)
    .replace(/[\u0132\u0133\u0149\u01c4-\u01cc\u01f1-\u01f3\ufb00-\ufb06\u3000\uff01-\uffef]/g,
             c => c.normalize("NFKC")) // ligatures, full-width letters
    .replace(/[\u02bc\u2018-\u201b]/g, "'")
    .replace(/[\u201c-\u201f]/g, '"')
    .replace(/[\0-\x08\v\x0e-\x1f\x7f\u206a-\u206f\ufeff\ufff9-\ufffc]/g, "")
    .normalize("NFC");
  return unescapeEntities(unescapeEntities(repaired))
    .replace(/\p{White_Space}+/gu, " ").trim().toLowerCase();
}

function decodeWindows(character) { // as Windows wrote quotes and dashes, in one byte
  return new TextDecoder("windows-1252").decode(Uint8Array.of(character.charCodeAt(0)));
}

function unescapeEntities(text) { // "&amp;" becomes "&"
  if (!text.includes("&")) return text;
  const box = document.createElement("textarea"); // holds no elements, so no markup comes to life
  box.innerHTML = text.replaceAll("<", "&lt;");
  return box.value;
}

// Return the text that a token of the vocabulary stands for at the end of a word, or "".
function decodeEntry(entry) {
  if (!entry.endsWith(END)) return "";
  const bytes = Array.from(entry.slice(0, -END.length), c => BYTE_CHARACTERS.indexOf(c));
  return new TextDecoder().decode(Uint8Array.from(bytes));
}

// ---- text encoders: the ids of a text (T,) become a vector (width,) -----------------------------

// A mean of the tokens' vectors, whatever their order.
class BagOfWords {
  constructor({matrices}) {
    this.embedding = new Matrix(matrices["token_embedding.weight"]);
  }

  encode(ids) { return mean(ids.map(id => this.embedding.row(id))); }
}

// Tokens and positions, layers of attention and feed-forward nets, and one vector for all: the mean
// of the tokens, or as in the published CLIP models the last token, [EOS], with a layer norm.
// causal: a token sees itself and those before it alone.
class TextTransformer {
  constructor({matrices, vectors, layers, heads, causal, reads_end, activation}) {
    this.matrices = Object.fromEntries(
      Object.entries(matrices).map(([name, packed]) => [name, new Matrix(packed)]));
    this.vectors = Object.fromEntries(
      Object.entries(vectors).map(([name, packed]) => [name, decodeFloats(packed)]));
    [this.layers, this.heads, this.causal, this.readsEnd] = [layers, heads, causal, reads_end];
    this.activate = activation === "QuickGELU" ? quickGelu : gelu;
  }

  encode(ids) {
    let x = ids.map((id, t) => add(this.matrices["token_embedding.weight"].row(id),
                                   this.matrices["positional_embedding"].row(t))); // (T, D)
    for (let layer = 0; layer < this.layers; layer++) {
      const block = `blocks.${layer}.`;
      const mixed = this.attend(block + "attention.", x.map(v => this.norm(block + "norm1", v)));
      x = x.map((v, t) => add(v, mixed[t]));
      const normed = x.map(v => this.norm(block + "norm2", v));
      x = x.map((v, t) => add(v, this.feedForward(block + "feedforward.", normed[t])));
    }
    if (!this.readsEnd) return mean(x); // (D,)
    return this.norm("norm_out", x[ids.indexOf(Math.max(...ids))]); // [EOS] has the largest id
  }

  linear(name, x) {
    return add(this.matrices[name + ".weight"].times(x), this.vectors[name + ".bias"]);
  }

  norm(name, x) {
    const average = x.reduce((sum, value) => sum + value) / x.length;
    const centred = x.map(value => value - average);
    const deviation = Math.sqrt(dot(centred, centred) / x.length + 1e-5);
    const [gains, biases] = [this.vectors[name + ".weight"], this.vectors[name + ".bias"]];
    return centred.map((value, i) => (value / deviation) * gains[i] + biases[i]);
  }

  attend(name, x) { // (T, D) to (T, D)
    const D = x[0].length;
    const size = D / this.heads;
    const qkv = x.map(v => this.linear(name + "in_proj", v)); // (T, 3 * D)
    const y = x.map(() => new Float32Array(D));
    for (let start = 0; start < D; start += size) { // one head after another
      const queries = qkv.map(v => v.subarray(start, start + size)); // (T, D / heads)
      const keys = qkv.map(v => v.subarray(D + start, D + start + size));
      const values = qkv.map(v => v.subarray(2 * D + start, 2 * D + start + size));
      queries.forEach((query, t) => {
        const seen = this.causal ? keys.slice(0, t + 1) : keys;
        const weights = softmax(seen.map(key => dot(query, key) / Math.sqrt(size))); // (T,)
        weights.forEach((weight, s) =>
          values[s].forEach((value, i) => { y[t][start + i] += weight * value; }));
      });
    }
    return y.map(v => this.linear(name + "out_proj", v));
  }

  feedForward(name, x) {
    return this.linear(name + "3", this.linear(name + "0", x).map(this.activate));
  }
}

function softmax(x) {
  const most = Math.max(...x);
  const powers = x.map(value => Math.exp(value - most));
  const sum = powers.reduce((total, power) => total + power);
  return powers.map(power => power / sum);
}

function gelu(x) { return 0.5 * x * (1 + erf(x / Math.SQRT2)); }

function quickGelu(x) { return x / (1 + Math.exp(-1.702 * x)); }

function erf(x) { // Abramowitz and Stegun 7.1.26, wrong by at most 1.5e-7
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const polynomial = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t
    + 0.254829592) * t;
  return Math.sign(x) * (1 - polynomial * Math.exp(-x * x));
}

// ---- the model of this page ---------------------------------------------------------------------

const TOKENIZER = new Tokenizer(PAGE.tokenizer);
const IS_BAG = PAGE.encoder.kind === "BagOfWords";
const ENCODER = IS_BAG ? new BagOfWords(PAGE.encoder) : new TextTransformer(PAGE.encoder);
const PROJECTION = new Matrix(PAGE.projection); // (D, width)

function addStartAndEnd(tokens) {
  return [{id: TOKENIZER.start, word: null}, ...tokens, {id: TOKENIZER.end, word: null}];
}

function encodeTokens(tokens) { // (D,), of length 1
  return normalize(PROJECTION.times(ENCODER.encode(tokens.map(token => token.id))));
}

// Return the vector of a text (D,), of length 1, or null if the model knows nothing in it.
function encodeText(text) {
  const tokens = TOKENIZER.tokenize(text);
  return tokens.length ? encodeTokens(addStartAndEnd(tokens)) : null;
}

const CAPTION_VECTORS = new Map(); // caption: its vector, kept once computed

function encodeCaption(caption) {
  if (!CAPTION_VECTORS.has(caption)) CAPTION_VECTORS.set(caption, encodeText(caption));
  return CAPTION_VECTORS.get(caption);
}
