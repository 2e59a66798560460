// The gallery: every world with a moving picture. Knows nothing of playing.

const MOTION = matchMedia("(prefers-reduced-motion: reduce)")

// Fill the list; onChoose(world) is called with the one chosen.
export function fillGallery(list, worlds, onChoose) {
  list.replaceChildren(...worlds.map((world) => card(world, onChoose)))
}

function card(world, onChoose) {
  const item = document.createElement("li"), button = document.createElement("button")
  const thumb = document.createElement("span"), canvas = document.createElement("canvas")
  const text = document.createElement("span"), title = document.createElement("strong")
  const goal = document.createElement("span")
  button.type = "button"
  button.dataset.world = world.name
  thumb.className = "thumb"
  text.className = "text"
  goal.className = "dim"
  canvas.setAttribute("aria-hidden", "true")
  title.textContent = world.title
  goal.textContent = world.goal
  thumb.append(canvas)
  text.append(title, goal)
  button.append(thumb, text)
  button.addEventListener("click", () => onChoose(world))
  item.append(button)
  animate(canvas, world)
  return item
}

// Frames of the preview, top to bottom, one after another while they can be seen.
async function animate(canvas, { name, width, height, fps }) {
  const sheet = new Image()
  sheet.src = `worlds/${name}/preview.png`
  canvas.width = width
  canvas.height = height
  await sheet.decode().catch(() => {})
  const frames = Math.floor(sheet.naturalHeight / height), context = canvas.getContext("2d")
  if (!frames) return
  let shown = frames - 1
  const draw = () => context.drawImage(sheet, 0, shown * height, width, height, 0, 0, width, height)
  draw()
  setInterval(() => {
    if (MOTION.matches || document.hidden || !canvas.offsetParent) return
    shown = (shown + 1) % frames
    draw()
  }, 1000 / fps)
}
