// One player of one world: the clock, the keys, the history. Takes commands, emits events; knows no page.
//
//   commands   {do: "keys", held, tapped, stamp} {do: "pause"} {do: "resume"} {do: "step"} {do: "seek", position}
//              {do: "mark"} {do: "jump"} {do: "branch", branch} {do: "share"}
//   events     {on: "frame", pixels, position, length, marks, index, reward, ended, uncertainty, milliseconds, stamp,
//               paused, replaying: [done, total] | null}
//              {on: "branches", branches: [{index, pixels}]}
//              {on: "shared", start, seed, actions}
//
// The server (worldsim/web/player.py) speaks the same.

import { History, mostMoments } from "./history.js"
import { Latch } from "./latch.js"

export class Player {
  // state: where to begin. actions: to be played at once, as fast as possible, before the player's own.
  constructor(world, state, emit, { start, actions = [] }) {
    this.world = world
    this.emit = emit
    this.start = start
    this.history = new History(mostMoments(state, world.spec.fps), { state, reward: 0, ended: false, path: null })
    this.script = actions
    this.latch = new Latch()
    this.paused = false
    this.steps = 0 // asked for while paused
    this.wake = () => {}
    this.over = false
  }

  command(command) {
    const { history } = this
    switch (command.do) {
      case "keys":
        this.latch.set(command)
        break
      case "pause":
        this.pause()
        break
      case "resume":
        this.paused = false
        this.latch.forgetTaps()
        break
      case "step":
        this.paused = true
        this.steps += 1
        break
      case "seek":
        this.pause(() => history.seek(command.position))
        break
      case "mark":
        history.mark()
        this.show()
        break
      case "jump":
        this.pause(() => history.jump())
        this.tellBranches()
        break
      case "branch":
        this.pause(() => history.show(command.branch))
        this.tellBranches()
        break
      case "share":
        this.emit({ on: "shared", start: this.start, seed: String(history.now.state.seed), actions: actionsTo(history.now) })
        break
    }
    this.wake()
  }

  // Time stands still, perhaps elsewhere; whoever pauses a replay takes over.
  pause(go = () => {}) {
    this.paused = true
    this.steps = 0
    this.script = []
    this.latch.forgetTaps()
    go()
    this.show()
  }

  close() {
    this.over = true
    this.wake()
  }

  // Play until closed.
  async play() {
    const interval = 1000 / this.world.spec.fps
    this.show()
    let due = performance.now() + interval
    while (!this.over) {
      if (this.script.length) {
        await this.advance(this.script[0], 0, true)
        await pause(0)
        due = performance.now() + interval
      } else if (this.paused && !this.steps) {
        await new Promise((resolve) => (this.wake = resolve))
        due = performance.now() + interval
      } else if (this.steps) {
        await this.advance(...this.taken())
      } else if (this.history.now.ended) {
        this.paused = true
        this.show()
      } else {
        await pause(due - performance.now())
        if (this.over || this.paused) continue
        await this.advance(...this.taken())
        due = Math.max(due + interval, performance.now())
      }
    }
  }

  taken() {
    const [held, stamp] = this.latch.take()
    return [this.world.actionFor(held), stamp]
  }

  async advance(action, stamp, scripted = false) {
    const began = performance.now(), before = this.history.now
    const [state, seen] = await this.world.step(before.state, action)
    if (this.over || this.history.now !== before) return // the player went elsewhere meanwhile
    if (scripted ? !this.script.length : this.paused && !this.steps) return // or paused
    if (scripted) this.script = this.script.slice(1)
    else this.steps = Math.max(0, this.steps - 1)
    const { branches } = this.history
    this.history.append({ state, reward: seen.reward, ended: seen.ended, path: { action, before: before.path } })
    if (this.history.branches !== branches) this.tellBranches()
    this.show(stamp, performance.now() - began)
  }

  // Other lines of play that can be returned to, by their last frames.
  tellBranches() {
    const { tips } = this.history
    const branches = tips.map(({ state }) => ({ index: state.index, pixels: rgba(state.frame) }))
    this.emit({ on: "branches", branches })
  }

  show(stamp = 0, milliseconds = 0) {
    const { now, position, length } = this.history
    const { state, reward, ended } = now
    this.emit({
      on: "frame",
      pixels: rgba(state.frame),
      position,
      length,
      marks: this.history.marked,
      index: state.index,
      reward,
      ended,
      uncertainty: state.uncertainty,
      milliseconds,
      stamp,
      paused: this.paused,
      replaying: this.script.length ? [state.index, state.index + this.script.length] : null,
    })
  }
}

// All actions from the start to a moment.
function actionsTo({ path }) {
  const actions = []
  for (let node = path; node; node = node.before) actions.push(node.action)
  return actions.reverse()
}

function rgba(rgb) {
  const pixels = new Uint8ClampedArray((rgb.length / 3) * 4)
  for (let from = 0, to = 0; from < rgb.length; from += 3, to += 4) {
    pixels[to] = rgb[from]
    pixels[to + 1] = rgb[from + 1]
    pixels[to + 2] = rgb[from + 2]
    pixels[to + 3] = 255
  }
  return pixels
}

// Let messages in, at least; and wait.
function pause(milliseconds) {
  return new Promise((resolve) => {
    if (milliseconds >= 1) return setTimeout(resolve, milliseconds)
    const { port1, port2 } = new MessageChannel() // setTimeout(0) would take 4 ms
    port1.onmessage = () => {
      port1.close()
      resolve()
    }
    port2.postMessage(0)
  })
}
