// The page: opens the gallery or, where the address names a moment, that one.

import { openEngine } from "./engine.js"
import { fillGallery } from "./gallery.js"
import { fromFile, fromFragment } from "./link.js"
import { Screen, randomSeed } from "./screen.js"

const $ = (id) => document.getElementById(id)
const FEATURES = [
  [() => "DecompressionStream" in globalThis && "WebAssembly" in globalThis, "WebAssembly and DecompressionStream"],
  [() => "createImageBitmap" in globalThis, "ImageBitmap"],
]

async function main() {
  const missing = FEATURES.filter(([there]) => !there()).map(([, name]) => name)
  if (missing.length) return fail(`This browser lacks ${missing.join(", ")}. Update it, or use another one.`)
  const response = await fetch("site.json").catch(() => null)
  if (!response?.ok) return fail("site.json does not load. Open this page from a web server, not as a file.")
  const site = await response.json()
  if (site.plays === "browser" && (await isolate())) return // the page loads again
  $("where").textContent = site.plays === "browser" ? "It runs in this page; nothing leaves your machine." : ""
  let screen = null
  const engine = openEngine(site, (event) => screen.event(event))
  screen = new Screen((command) => engine.send(command), () => (location.hash = ""), site.plays === "browser")
  const open = (moment) => {
    $("gallery").hidden = true
    $("play").hidden = false
    screen.open(moment, site.worlds.find(({ name }) => name === moment.world))
    $("title").focus()
  }
  const enter = (moment) => {
    history.pushState(null, "", "#") // what the back button leaves
    open(moment)
  }
  const follow = () => {
    try {
      const moment = fromFragment(location.hash, site.worlds)
      if (moment) return open(moment)
    } catch (error) {
      alert(error.message)
    }
    const left = screen.world
    if (left) screen.close()
    $("play").hidden = true
    $("gallery").hidden = false
    if (left) document.querySelector(`[data-world="${CSS.escape(left.name)}"]`)?.focus()
  }
  fillGallery($("worlds"), site.worlds, ({ name }) => {
    enter({ world: name, start: 0, seed: randomSeed(), actions: [] })
  })
  $("file").onchange = async ({ target }) => {
    const [file] = target.files
    target.value = ""
    try {
      enter(fromFile(await file.slice(0, 1 << 20).text(), site.worlds))
    } catch (error) {
      alert(error.message)
    }
  }
  addEventListener("hashchange", follow)
  follow()
}

// Have the browser share memory between threads, on hosts that don't ask for it. Whether the page loads again for it.
async function isolate() {
  if (crossOriginIsolated || !("serviceWorker" in navigator) || sessionStorage.getItem("isolated")) return false
  try {
    await navigator.serviceWorker.register("isolation.js")
    await navigator.serviceWorker.ready
  } catch {
    return false // private windows of some browsers
  }
  sessionStorage.setItem("isolated", "tried") // once: no loop where it does not help
  location.reload()
  return true
}

function fail(text) {
  const line = document.createElement("p")
  line.setAttribute("role", "alert")
  line.style.padding = "2rem"
  line.textContent = text
  document.body.replaceChildren(line)
}

main()
