// The play screen: what is drawn, and what its controls do. Knows no engine: it sends commands and is told events.

import { Keys } from "./keys.js"
import { toFile, toFragment } from "./link.js"
import { Meter } from "./meter.js"

const $ = (id) => document.getElementById(id)
const REWIND = 2 // frames back for each that would have been played
const SHORTCUTS = { Backspace: "rewind", KeyP: "pause", Period: "step" }

export class Screen {
  // send(command); leave(): back to the gallery. playsHere: whether the network runs in this page.
  constructor(send, leave, playsHere) {
    this.send = send
    this.world = null
    this.last = null // newest frame event
    this.keys = new Keys($("pad"), (change) => this.world && send({ do: "keys", ...change }))
    $("back").onclick = leave
    $("pause").onclick = () => this.toggle()
    $("step").onclick = () => send({ do: "step" })
    $("again").onclick = () => this.open({ ...this.moment, seed: randomSeed(), actions: [] })
    $("start").onchange = ({ target }) => this.open({ ...this.moment, start: Number(target.value), actions: [] })
    $("backend").onchange = () => this.open(this.moment)
    $("timeline").oninput = ({ target }) => send({ do: "seek", position: Number(target.value) })
    $("share").onclick = () => this.ask("share")
    $("save").onclick = () => this.ask("save")
    $("full").onclick = () => (document.fullscreenElement ? document.exitFullscreen() : $("play").requestFullscreen())
    $("full").hidden = !document.fullscreenEnabled
    if (playsHere) navigator.gpu?.requestAdapter().then((gpu) => ($("backend-label").hidden = !gpu)).catch(() => {})
    const rewind = $("rewind")
    rewind.onpointerdown = (event) => {
      rewind.setPointerCapture(event.pointerId)
      this.rewind(true)
    }
    rewind.onpointerup = rewind.onpointercancel = rewind.onblur = () => this.rewind(false)
    addEventListener("keydown", (event) => this.shortcut(event, true))
    addEventListener("keyup", (event) => this.shortcut(event, false))
    new ResizeObserver(() => this.fit()).observe($("stage"))
  }

  // Begin at a moment (see link.js) of a world.
  open(moment, world = this.world) {
    this.world = world
    this.moment = moment
    this.last = null
    this.meter = new Meter()
    $("title").textContent = document.title = world.title
    $("goal").textContent = world.goal
    $("screen").width = world.width
    $("screen").height = world.height
    $("stage").style.setProperty("--aspect", `${world.width} / ${world.height}`)
    $("start").replaceChildren(...Array.from({ length: world.starts }, (_, i) => new Option(String(i + 1), String(i))))
    $("start").value = String(moment.start)
    for (const id of ["fps", "latency", "cost", "index", "uncertainty"]) $(id).textContent = "–"
    this.keys.use(world)
    this.poster(moment)
    this.fit()
    this.say(moment.same === false ? "This link is of other weights of this world: the frames will differ." : "")
    this.notice("Opening…")
    const { start, seed, actions } = moment
    this.send({ do: "open", world: world.name, start, seed, actions, backend: $("backend").value })
    history.replaceState(null, "", toFragment({ ...moment, world: world.name, bundle: world.bundle, actions: [] }))
  }

  close() {
    this.send({ do: "close" })
    this.rewind(false)
    this.world = null
    this.keys.use(null)
    document.title = "worldsim"
  }

  event(event) {
    if (!this.world) return
    switch (event.on) {
      case "loading":
        return this.notice(`Loading ${megabytes(event.total)} MB…`, [], event.loaded / event.total)
      case "opened":
        return this.opened(event)
      case "waiting":
        return this.notice(`All places are taken. You are number ${event.place} in the line.`)
      case "lost":
        return this.notice("The connection broke. Connecting again…")
      case "back":
        return this.notice(null)
      case "frame":
        return this.frame(event)
      case "shared":
        return this.shared(event)
      case "error":
        return this.notice(event.message, [["Try again", () => this.open(this.moment)]])
    }
  }

  opened({ backend, threads }) {
    this.notice(null)
    const slow = backend === "wasm" && threads === 1 && (navigator.hardwareConcurrency ?? 1) > 1
    if (slow) this.say("This browser gives the page one thread, so the world may be slow: docs/web.md says what helps.")
  }

  frame(event) {
    const context = $("screen").getContext("2d")
    if (event.image) context.drawImage(event.image, 0, 0)
    else context.putImageData(new ImageData(event.pixels, this.world.width), 0, 0)
    this.last = event
    if (event.milliseconds) this.meter.frame(performance.now(), event.stamp)
    this.facts(event)
    if (event.replaying) {
      const [done, total] = event.replaying
      this.notice(`Replaying ${total} frames…`, [["Take over here", () => this.send({ do: "pause" })]], done / total)
    } else if (event.ended && event.paused) {
      const buttons = [["Again", () => $("again").click()], ["Rewind two seconds", () => this.back(2)]]
      this.notice("This is where it ends.", buttons)
    } else this.notice(null)
  }

  facts({ position, length, index, paused, uncertainty, milliseconds }) {
    const { fps, latency } = this.meter, timeline = $("timeline")
    timeline.max = String(length - 1)
    timeline.value = String(position)
    const seconds = index / this.world.fps
    $("clock").textContent = clock(seconds)
    timeline.setAttribute("aria-valuetext", `${clock(seconds)} since the start`)
    $("pause").setAttribute("aria-label", paused ? "Play" : "Pause")
    $("pause").setAttribute("aria-pressed", String(paused))
    $("index").textContent = `${index} ${index === 1 ? "frame" : "frames"}`
    $("uncertainty").textContent = uncertainty.toFixed(2)
    if (!milliseconds) return
    if (fps) $("fps").textContent = `${fps.toFixed(1)} of ${this.world.fps}`
    $("fps").classList.toggle("high", fps !== null && fps < 0.9 * this.world.fps)
    if (latency !== null) $("latency").textContent = `${latency.toFixed(0)} ms`
    $("cost").textContent = `${milliseconds.toFixed(0)} ms`
  }

  toggle() {
    if (this.last) this.send({ do: this.last.paused ? "resume" : "pause" })
  }

  back(seconds) {
    if (!this.last) return
    this.send({ do: "seek", position: this.last.position - Math.round(seconds * this.world.fps) })
  }

  // While held, time runs backwards; play goes on from there if it was going.
  rewind(held) {
    if (held && !this.rewinding && this.last) {
      const goesOn = !this.last.paused
      let position = this.last.position
      const timer = setInterval(() => {
        position = Math.max(0, position - REWIND)
        this.send({ do: "seek", position })
      }, 1000 / this.world.fps)
      this.rewinding = { timer, goesOn }
    } else if (!held && this.rewinding) {
      clearInterval(this.rewinding.timer)
      if (this.rewinding.goesOn) this.send({ do: "resume" })
      this.rewinding = null
    }
  }

  shortcut(event, down) {
    const id = SHORTCUTS[event.code]
    if (!this.world || !id || this.keys.codes.has(event.code)) return
    if (event.ctrlKey || event.metaKey || event.altKey) return
    event.preventDefault()
    if (id === "rewind") this.rewind(down)
    else if (down) $(id).click()
  }

  ask(purpose) {
    this.purpose = purpose
    this.send({ do: "share" })
  }

  async shared({ start, seed, actions }) {
    const moment = { world: this.world.name, bundle: this.world.bundle, start, seed, actions }
    if (this.purpose === "save") {
      const link = document.createElement("a")
      link.href = URL.createObjectURL(new Blob([toFile(moment, this.world)], { type: "application/json" }))
      link.download = `${moment.world}-${actions.length}.json`
      link.click()
      URL.revokeObjectURL(link.href)
      return this.say(`Saved as ${link.download}.`)
    }
    const url = new URL(toFragment(moment), location.href).href
    try {
      await navigator.clipboard.writeText(url)
      this.say("The link is copied. It opens at this very frame.")
    } catch {
      this.say(url)
    }
  }

  // The picture of a start, before anything else is there.
  async poster({ start }) {
    const image = new Image(), { world } = this
    image.src = `worlds/${world.name}/start-${String(start).padStart(2, "0")}.png`
    await image.decode().catch(() => {})
    if (!this.last && this.world === world) $("screen").getContext("2d").drawImage(image, 0, 0)
  }

  // The largest picture of whole pixels that fits; of any size where it would be small.
  fit() {
    const { world } = this, stage = $("stage"), canvas = $("screen")
    if (!world) return
    const style = getComputedStyle(stage), padding = 2 * parseFloat(style.paddingLeft)
    const scale = Math.min((stage.clientWidth - padding) / world.width, (stage.clientHeight - padding) / world.height)
    const crisp = scale * devicePixelRatio >= 3 ? Math.floor(scale * devicePixelRatio) / devicePixelRatio : scale
    canvas.style.width = `${world.width * crisp}px`
    canvas.style.height = `${world.height * crisp}px`
  }

  notice(text, buttons = [], progress = null) {
    const box = $("notice"), key = text && `${text} ${buttons.map(([name]) => name)}`
    box.hidden = !text
    $("notice-progress").hidden = progress === null
    if (progress !== null) $("notice-progress").value = progress
    if (key === this.noticed) return
    this.noticed = key
    $("notice-text").textContent = text ?? ""
    $("notice-buttons").replaceChildren(
      ...buttons.map(([name, act]) => {
        const button = document.createElement("button")
        button.type = "button"
        button.className = "main"
        button.textContent = name
        button.onclick = act
        return button
      }),
    )
  }

  say(text) {
    $("message").textContent = text
  }
}

export function randomSeed() {
  return String(crypto.getRandomValues(new BigUint64Array(1))[0] >> 11n) // short enough to read
}

function clock(seconds) {
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`
}

function megabytes(bytes) {
  return (bytes / 1e6).toFixed(1)
}
