// One player of one world: the clock, the keys, the history. Takes commands, emits events; knows no page.
//
//   commands   {do: "keys", held, tapped, stamp} {do: "pause"} {do: "resume"} {do: "step"} {do: "seek", position}
//              {do: "share"}
//   events     {on: "frame", pixels, position, length, index, reward, ended, uncertainty, milliseconds, stamp, paused,
//               replaying: [done, total] | null}
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
    this.history = new History(mostMoments(state, world.spec.fps))
    this.history.append({ state, reward: 0, ended: false })
    this.actions = [] // all since the start, up to the moment shown
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
        this.paused = true
        this.script = [] // whoever pauses a replay takes over
        this.show()
        break
      case "resume":
        this.paused = false
        break
      case "step":
        this.paused = true
        this.steps += 1
        break
      case "seek":
        this.paused = true
        this.steps = 0
        this.script = []
        history.seek(command.position)
        this.actions.length = history.now.state.index
        this.show()
        break
      case "share":
        this.emit({ on: "shared", start: this.start, seed: String(history.now.state.seed), actions: [...this.actions] })
        break
    }
    this.wake()
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
    this.history.append({ state, reward: seen.reward, ended: seen.ended })
    this.actions.push(action)
    this.show(stamp, performance.now() - began)
  }

  show(stamp = 0, milliseconds = 0) {
    const { now, position, length } = this.history
    const { state, reward, ended } = now
    const total = this.actions.length + this.script.length
    this.emit({
      on: "frame",
      pixels: rgba(state.frame),
      position,
      length,
      index: state.index,
      reward,
      ended,
      uncertainty: state.uncertainty,
      milliseconds,
      stamp,
      paused: this.paused,
      replaying: this.script.length ? [this.actions.length, total] : null,
    })
  }
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
