// A generated world: a state goes in, a new state comes out, as in worldsim/runtime/session.py. Knows no page and no
// ONNX Runtime: it is handed `run`, which makes one step of the network.
//
// A state is a value that is never changed: entries (newest W, oldest first, Uint16Array each: float16), memory and
// poses of older frames with their numbers (`remembered`), number, latents, frame (RGB), index, seed (BigInt),
// uncertainty. States share the arrays of frames they have both seen.

import { frameChance, frameNoise } from "./rng.js"

const RAREST = 0.02 // chance of an end that is drawn; what is less is the error of a network

export class World {
  // description: one of site.json's worlds. run(inputs) -> outputs, each a {data, dims} by the graph's names.
  constructor(description, run) {
    this.spec = description
    this.sizes = description.sizes
    this.run = run
  }

  // The state of a snapshot (see `readTensors`), at another seed.
  begin(tensors, seed) {
    const rows = (name, length) => split(tensors[name], length)
    const { entry, memory, pose } = this.sizes
    return Object.freeze({
      entries: rows("entries", size(entry)),
      memory: memory ? rows("memory", size(memory)) : [],
      poses: pose ? rows("poses", pose) : [],
      remembered: Array.from(tensors.remembered, Number),
      number: Number(tensors.number[0]),
      latents: tensors.latents,
      frame: tensors.frame,
      index: 0,
      seed,
      uncertainty: 0,
    })
  }

  // Generate the next frame. Returns [state, {reward, cont, ended}].
  async step(state, action) {
    const index = state.index + 1
    const noise = frameNoise(state.seed, index, this.sizes.draws * state.latents.length)
    const made = await this.run(this.inputs(state, action, noise))
    const next = {
      entries: [...state.entries, halves(made.entry)].slice(-this.sizes.window),
      ...this.remember(state, made),
      number: state.number + 1,
      latents: new Float32Array(made.next_latents.data),
      frame: new Uint8Array(made.frame.data),
      index,
      seed: state.seed,
      uncertainty: made.uncertainty.data[0],
    }
    const cont = made.cont.data[0]
    const ended = frameChance(state.seed, index) >= cont && cont <= 1 - RAREST
    return [Object.freeze(next), { reward: made.reward.data[0], cont, ended }]
  }

  // What the network is handed of a state: [type, data, dims] by the graph's names. Empty slots are zeros.
  inputs(state, action, noise) {
    const { window, latents, draws, entry, memory, pose, retention } = this.sizes
    const [channels, ...cells] = latents
    const inputs = {
      latents: ["float32", state.latents, [1, ...latents]],
      actions: ["int64", BigInt64Array.of(BigInt(action)), [1]],
      noise: ["float32", noise, [1, draws * channels, ...cells]],
      cache: ["float16", join(state.entries, size(entry), window, Uint16Array), [1, window, ...entry]],
      length: ["int64", BigInt64Array.of(BigInt(state.entries.length)), [1]],
    }
    if (!memory) return inputs
    const slots = Math.max(1, state.memory.length), ages = new BigInt64Array(slots)
    state.remembered.forEach((number, slot) => {
      const age = state.number - number
      if (retained(number, age, retention)) ages[slot] = BigInt(age)
    })
    inputs.memory = ["float16", join(state.memory, size(memory), slots, Uint16Array), [1, slots, ...memory]]
    inputs.age = ["int64", ages, [1, slots]]
    if (pose) inputs.pose = ["float32", join(state.poses, pose, slots, Float32Array), [1, slots, pose]]
    return inputs
  }

  // Memory, poses and numbers of the next state, without what is not kept any more.
  remember(state, made) {
    const { memory, pose, retention } = this.sizes
    if (!memory) return { memory: [], poses: [], remembered: [] }
    const numbers = [...state.remembered, state.number]
    const kept = (_, i) => retained(numbers[i], state.number + 1 - numbers[i], retention)
    return {
      memory: [...state.memory, halves(made.next_memory)].filter(kept),
      poses: pose ? [...state.poses, new Float32Array(made.next_pose.data)].filter(kept) : [],
      remembered: numbers.filter(kept),
    }
  }

  // The action with the most buttons among those pressed by the physical keys `held`; the first one on a tie.
  actionFor(held) {
    const pressed = new Set()
    for (const [button, keys] of Object.entries(this.spec.keys)) {
      if (keys.some((key) => held.has(key))) pressed.add(button)
    }
    let best = -1
    this.spec.actions.forEach(({ buttons }, i) => {
      const more = best < 0 || buttons.length > this.spec.actions[best].buttons.length
      if (more && buttons.every((button) => pressed.has(button))) best = i
    })
    return best
  }
}

// Whether a frame is still remembered at an age of 1 or more; see worldsim/models/retention.py.
export function retained(number, age, retention) {
  let younger = 0
  for (const [limit, every] of retention) {
    if (age > younger && age <= limit) return number % every === 0
    younger = limit
  }
  return false
}

// Tensors of a safetensors file by name, as typed arrays; float16 as Uint16Array.
export function readTensors(buffer) {
  const kinds = {
    F16: Uint16Array, F32: Float32Array, I64: BigInt64Array, U64: BigUint64Array, U8: Uint8Array,
  }
  const length = Number(new DataView(buffer).getBigUint64(0, true))
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)))
  const tensors = {}
  for (const [name, tensor] of Object.entries(header)) {
    if (name === "__metadata__") continue
    const [from, to] = tensor.data_offsets
    tensors[name] = new kinds[tensor.dtype](buffer.slice(8 + length + from, 8 + length + to))
  }
  return tensors
}

const size = (dims) => dims.reduce((a, b) => a * b, 1)

function split(array, length) {
  return Array.from({ length: array.length / length }, (_, i) => array.slice(i * length, (i + 1) * length))
}

// Arrays side by side, the last one at the end; zeros before them where there are fewer than `slots`.
function join(arrays, length, slots, Kind) {
  const joined = new Kind(slots * length), first = slots - arrays.length
  arrays.forEach((array, i) => joined.set(array, (first + i) * length))
  return joined
}

// A copy of a float16 output as its bits; some browsers hand out Float16Array, others Uint16Array.
function halves({ data }) {
  return new Uint16Array(data.buffer, data.byteOffset, data.length).slice()
}
