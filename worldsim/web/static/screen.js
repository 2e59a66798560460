// The play screen: what is drawn, and what its controls do. Knows no engine: it sends commands and is told events.

import { Keys } from "./keys.js"
import { toFile, toFragment } from "./link.js"
import { Meter } from "./meter.js"

const $ = (id) => document.getElementById(id)
const REWIND = 2 // frames back for each that would have been played
const SHORTCUTS = { Backspace: "rewind", KeyP: "pause", Period: "step", KeyM: "mark", KeyJ: "jump" }

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
    $("mark").onclick = () => send({ do: "mark" })
    $("jump").onclick = () => send({ do: "jump" })
    $("invite").onclick = () => this.invite()
    $("invite").hidden = playsHere
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
    this.marked = false
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
    this.branches([])
    const { start, seed, actions, code } = moment
    this.send({ do: "open", world: world.name, start, seed, actions, code, backend: $("backend").value })
    this.address()
  }

  // What the page's address says: what is played, so that loading it again plays it, too.
  address() {
    const { name, bundle } = this.world
    history.replaceState(null, "", toFragment({ ...this.moment, world: name, bundle, actions: [] }))
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
      case "branches":
        return this.branches(event.branches)
      case "shared":
        return this.shared(event)
      case "error":
        return this.notice(event.message, [["Try again", () => this.open(this.moment)]])
    }
  }

  opened({ backend, threads, start, seed }) {
    this.notice(null)
    if (seed !== undefined && (seed !== this.moment.seed || start !== this.moment.start)) {
      this.moment = { ...this.moment, start, seed, actions: [] } // that of whoever was here before, or began anew
      $("start").value = String(start)
      this.address()
    }
    const slow = backend === "wasm" && threads === 1 && (navigator.hardwareConcurrency ?? 1) > 1
    if (slow) this.say("This browser gives the page one thread, so the world may be slow: docs/web.md says what helps.")
  }

  frame(event) {
    this.paint($("screen"), event)
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

  paint(canvas, { image, pixels }) {
    const context = canvas.getContext("2d")
    if (image) context.drawImage(image, 0, 0)
    else context.putImageData(new ImageData(pixels, this.world.width), 0, 0)
  }

  facts({ position, length, marks, index, paused, uncertainty, milliseconds, seat, seats, driver }) {
    const { fps, latency } = this.meter, timeline = $("timeline")
    timeline.max = String(length - 1)
    timeline.value = String(position)
    const seconds = index / this.world.fps
    $("clock").textContent = clock(seconds)
    timeline.setAttribute("aria-valuetext", `${clock(seconds)} since the start`)
    this.ticks(marks, length)
    const marked = marks.includes(position)
    $("mark").setAttribute("aria-pressed", String(marked))
    $("jump").disabled = !this.marked
    $("together").hidden = !(seats > 1)
    if (seats > 1) {
      const who = driver === null ? "nobody" : driver === seat ? "you" : `player ${driver + 1}`
      $("together").textContent = `${seats} play here; you are player ${seat + 1}. Keys: ${who}`
    }
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

  // Bookmarks as ticks on the line of time.
  ticks(marks, length) {
    const key = marks.map((mark) => mark / Math.max(1, length - 1)).join()
    this.marked ||= marks.length > 0
    if (key === this.ticked) return
    this.ticked = key
    $("marks").replaceChildren(
      ...marks.map((mark) => {
        const tick = document.createElement("i")
        tick.style.left = `${(100 * mark) / Math.max(1, length - 1)}%`
        return tick
      }),
    )
  }

  // Other ways that were gone: pictures of their ends, to go back to.
  branches(branches) {
    $("branches").hidden = !branches.length
    $("branches").replaceChildren(
      ...branches.map((branch, i) => {
        const button = document.createElement("button"), canvas = document.createElement("canvas")
        const at = clock(branch.index / this.world.fps)
        button.type = "button"
        button.setAttribute("aria-label", `Other way, ${at} since the start`)
        canvas.width = this.world.width
        canvas.height = this.world.height
        this.paint(canvas, branch)
        button.append(canvas, at)
        button.onclick = () => this.send({ do: "branch", branch: i })
        return button
      }),
    )
  }

  // A link with which others play here, too, each with keys of their own.
  async invite() {
    const code = this.moment.code || Array.from(crypto.getRandomValues(new Uint8Array(12)), hex).join("")
    this.moment = { ...this.moment, code }
    this.send({ do: "invite", code })
    this.address()
    await this.copy(location.href, "The link is copied. Whoever opens it plays here with you.")
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
    await this.copy(new URL(toFragment(moment), location.href).href, "The link is copied. It opens at this very frame.")
  }

  async copy(url, said) {
    try {
      await navigator.clipboard.writeText(url)
      this.say(said)
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

function hex(byte) {
  return byte.toString(16).padStart(2, "0")
}

function megabytes(bytes) {
  return (bytes / 1e6).toFixed(1)
}
