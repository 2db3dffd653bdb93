// Takes an image that a reader drops or pastes onto the search widget, or chooses by its upload
// button, and sends it to the kernel. A large image is made smaller first: a message to a kernel
// may hold 10 MB. The image goes nowhere else.

const MOST_BYTES = 20_000_000;
const LARGE = 2_000_000; // bytes from which an image is made smaller
const SIDE = 1024; // pixels of the longer side that the kernel needs at most

async function shrink(file) {
  const bitmap = await createImageBitmap(file); // upright, as the camera has noted
  const scale = Math.min(1, SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d");
  context.fillStyle = "white"; // under what is transparent
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
}

async function send(model, file) {
  let data = null; // the kernel says why when there is no data
  if (file.size <= MOST_BYTES) {
    data = file;
    // What the browser cannot read goes as it is: the kernel may know the format.
    if (file.size > LARGE) data = (await shrink(file).catch(() => null)) ?? file;
  }
  const buffers = data ? [await data.arrayBuffer()] : [];
  model.send({ name: file.name || "the pasted image", size: file.size }, undefined, buffers);
}

function listen(model, el) {
  const box = el.closest(".clipnb-retrieval");
  if (!box) return () => {};
  const chooser = document.createElement("input");
  chooser.type = "file";
  chooser.accept = model.get("accepted");
  chooser.addEventListener("change", () => {
    if (chooser.files[0]) send(model, chooser.files[0]);
    chooser.value = ""; // the same file may be chosen again
  });
  const handlers = {
    click: (event) => {
      if (!event.target.closest(".widget-upload")) return;
      event.stopImmediatePropagation();
      event.preventDefault();
      chooser.click();
    },
    paste: (event) => take(event, event.clipboardData),
    drop: (event) => {
      box.classList.remove("clipnb-dropping");
      take(event, event.dataTransfer);
    },
    dragover: (event) => {
      if (![...event.dataTransfer.types].includes("Files")) return;
      event.preventDefault(); // it may be dropped here
      event.stopPropagation();
      box.classList.add("clipnb-dropping");
    },
    dragleave: (event) => {
      if (!box.contains(event.relatedTarget)) box.classList.remove("clipnb-dropping");
    },
  };
  function take(event, transfer) {
    const file = transfer.files[0];
    if (!file) return; // a text is pasted into the box as always
    event.preventDefault();
    event.stopPropagation();
    send(model, file);
  }
  for (const [name, handler] of Object.entries(handlers))
    box.addEventListener(name, handler, { capture: true });
  return () => {
    for (const [name, handler] of Object.entries(handlers))
      box.removeEventListener(name, handler, { capture: true });
  };
}

function render({ model, el }) {
  el.textContent = "or drop or paste one anywhere here";
  let stop = () => {};
  let gone = false;
  const wait = () => {
    if (gone) return;
    if (el.isConnected) stop = listen(model, el);
    else requestAnimationFrame(wait);
  };
  wait();
  return () => {
    gone = true;
    stop();
  };
}

export default { render };
