// The local engine: plays a world in a worker, so that the page stays responsive. Messages as of engine.js.

import { fetchFile, loadNetwork, threads } from "./network.js"
import { Player } from "./player.js"
import { World, readTensors } from "./world.js"

let site = null
let player = null
let loading = false // whether the page is shown how far it is
let opened = 0 // counts what was opened, so that a slow load does not take the place of a later one
const networks = new Map()

self.onmessage = async ({ data: command }) => {
  try {
    if (command.do === "site") site = command.site
    else if (command.do === "open") await open(command)
    else if (command.do === "close") close()
    else player?.command(command)
  } catch (error) {
    self.postMessage({ on: "error", message: explain(error) })
  }
}

async function open({ world: name, start, seed, actions, backend }) {
  close()
  const turn = opened
  const description = site.worlds.find((world) => world.name === name)
  const progress = (loaded, total) => loading && self.postMessage({ on: "loading", loaded, total })
  const file = `worlds/${name}/start-${String(start).padStart(2, "0")}.safetensors`
  const key = `${backend} ${name}`
  if (!networks.has(key)) {
    networks.clear() // one at a time: a phone has little memory
    networks.set(key, loadNetwork(site, name, backend, progress))
  }
  let run, snapshot
  loading = true
  try {
    ;[run, snapshot] = await Promise.all([networks.get(key), fetchFile(site, file)])
  } catch (error) {
    networks.delete(key)
    loading = false // other files may still be on their way
    throw error
  }
  if (turn !== opened) return
  loading = false
  const world = new World(description, run)
  const state = world.begin(readTensors(snapshot.buffer), BigInt(seed))
  player = new Player(world, state, emit, { start, actions })
  self.postMessage({ on: "opened", backend, threads: threads() })
  const playing = player
  playing.play().catch((error) => {
    if (playing === player) self.postMessage({ on: "error", message: explain(error) })
  })
}

function close() {
  opened += 1
  player?.close()
  player = null
}

function emit(event) {
  self.postMessage(event, event.pixels ? [event.pixels.buffer] : [])
}

function explain(error) {
  const text = String(error?.message ?? error)
  if (/memory|allocation/i.test(text)) return `Not enough memory for this world. Close other pages. (${text})`
  return text
}
