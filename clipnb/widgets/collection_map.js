// Draws the map of a collection: one image with a cell for each thumbnail, a button over each cell,
// and labels. The arrow keys move from cell to cell, and Tab leaves the map.

function makeButton(cell, map, address) {
  const { columns, rows } = map;
  const button = document.createElement("button");
  button.type = "button";
  button.title = cell.name;
  button.setAttribute("aria-label", cell.name);
  button.setAttribute("data-lm-suppress-shortcuts", "true");
  button.tabIndex = -1;
  Object.assign(button.style, {
    left: `${(100 * cell.column) / columns}%`,
    top: `${(100 * cell.row) / rows}%`,
    width: `${100 / columns}%`,
    height: `${100 / rows}%`,
    backgroundImage: `url(${address})`,
    backgroundSize: `${100 * columns}% ${100 * rows}%`,
    backgroundPosition:
      `${(100 * cell.column) / Math.max(1, columns - 1)}% ` +
      `${(100 * cell.row) / Math.max(1, rows - 1)}%`,
  });
  return button;
}

function makeLabel(label, map) {
  const span = document.createElement("span");
  span.textContent = label.text;
  span.style.left = `clamp(60px, ${(100 * label.x) / map.columns}%, 100% - 60px)`;
  span.style.top = `${(100 * label.y) / map.rows}%`;
  return span;
}

// The nearest cell in a direction: along it first, and as straight as possible.
function findNext(cells, from, dx, dy) {
  let best = from;
  let least = Infinity;
  for (const cell of cells) {
    const ahead = (cell.column - from.column) * dx + (cell.row - from.row) * dy;
    const aside = Math.abs((cell.column - from.column) * dy + (cell.row - from.row) * dx);
    if (ahead > 0 && ahead + 3 * aside < least) [best, least] = [cell, ahead + 3 * aside];
  }
  return best;
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function render({ model, el }) {
  const map = model.get("map");
  const address = URL.createObjectURL(new Blob([model.get("sheet")], { type: "image/webp" }));
  const area = document.createElement("div");
  area.className = "clipnb-map";
  area.setAttribute("role", "group");
  area.setAttribute("aria-label", "Map of the collection");
  area.style.aspectRatio = `${map.columns} / ${map.rows}`;
  const buttons = new Map(map.cells.map((cell) => [cell, makeButton(cell, map, address)]));
  let current = map.cells[0];
  const goTo = (cell) => {
    buttons.get(current).tabIndex = -1;
    buttons.get(cell).tabIndex = 0;
    current = cell;
  };
  for (const [cell, button] of buttons) {
    button.addEventListener("click", () => {
      goTo(cell);
      model.send({ picked: cell.row * map.columns + cell.column });
    });
    button.addEventListener("keydown", (event) => {
      if (!ARROWS[event.key]) return;
      event.preventDefault();
      event.stopPropagation();
      goTo(findNext(map.cells, cell, ...ARROWS[event.key]));
      buttons.get(current).focus();
    });
    area.append(button);
  }
  if (current) goTo(current);
  for (const label of map.labels) area.append(makeLabel(label, map));
  el.append(area);
  return () => URL.revokeObjectURL(address);
}

export default { render };
