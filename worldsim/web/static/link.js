// A moment as a link and as a file: world, start, seed and what was done since. Opened again, it replays.
//
//   #world=doom-maze&bundle=d2b9e221a4fe&start=2&seed=7&keys=AQ8DCg    keys: runs of (action, count), as varints in
//                                                                      base64url; without them, the start itself
//   &with=CODE                                                         played together with all who have the code

const MOST_ACTIONS = 60000
const SEEDS = 2n ** 64n
const BUNDLE = 12 // characters of its digest in a link

// moment: {world, bundle, start, seed, actions}, actions an array of indices. Returns the fragment, with its #.
export function toFragment({ world, bundle, start, seed, actions, code }) {
  const fields = new URLSearchParams({ world, bundle: bundle.slice(0, BUNDLE), start, seed })
  if (code) fields.set("with", code)
  if (actions.length) fields.set("keys", toBase64(runs(actions).flat().flatMap(varint)))
  return `#${fields}`
}

// The moment of a fragment; null where it names none. worlds: of site.json. Throws what a person can read.
export function fromFragment(fragment, worlds) {
  const fields = new URLSearchParams(fragment.replace(/^#/, ""))
  if (!fields.has("world")) return null
  const actions = fields.has("keys") ? played(numbers(fields.get("keys"))) : []
  const bundle = fields.get("bundle") ?? ""
  const code = fields.get("with") ?? ""
  if (code && !/^[a-z0-9]{16,64}$/i.test(code)) throw new Error("That invitation is damaged. Ask for it again.")
  return checked({ ...Object.fromEntries(fields), start: fields.get("start") ?? "0", bundle, actions, code }, worlds)
}

// The text of a file. Its actions read as those of `worldsim play --actions`: "forward*14,turn-left*10".
export function toFile({ world, bundle, start, seed, actions }, { actions: names }) {
  const text = runs(actions).map(([action, count]) => `${names[action].name}*${count}`).join(",")
  return JSON.stringify({ format: "worldsim moment 1", world, bundle, start, seed, actions: text }, null, 1)
}

// The moment of a file's text.
export function fromFile(text, worlds) {
  let fields
  try {
    fields = JSON.parse(text)
  } catch {
    throw new Error("That file is not a saved moment, or was cut.")
  }
  if (fields?.format !== "worldsim moment 1" || typeof fields.actions !== "string") {
    throw new Error("That file is not a saved moment.")
  }
  const names = worlds.find(({ name }) => name === fields.world)?.actions.map(({ name }) => name) ?? []
  const pairs = fields.actions.split(",").filter(Boolean).flatMap((run) => {
    const at = run.lastIndexOf("*")
    return [names.indexOf(run.slice(0, at)), Number(run.slice(at + 1))]
  })
  return checked({ ...fields, actions: played(pairs) }, worlds)
}

function checked({ world: name, bundle, start, seed = "0", actions, code = "" }, worlds) {
  const world = worlds.find((one) => one.name === name)
  if (!world) throw new Error(`There is no world ${JSON.stringify(String(name).slice(0, 64))} here.`)
  if (!/^\d+$/.test(start) || Number(start) >= world.starts) throw new Error(`${world.title} has no such start.`)
  if (!/^\d{1,20}$/.test(seed) || BigInt(seed) >= SEEDS) throw new Error("That link has a seed that is none.")
  if (actions.some((action) => action < 0 || action >= world.actions.length)) {
    throw new Error(`That link presses keys that ${world.title} does not have.`)
  }
  const same = !bundle || world.bundle.startsWith(String(bundle).slice(0, BUNDLE))
  return { world: name, start: Number(start), seed: String(seed), actions, code, same }
}

// [action, count] for every stretch of the same action.
function runs(actions) {
  const found = []
  for (const action of actions) {
    if (found.length && found.at(-1)[0] === action) found.at(-1)[1] += 1
    else found.push([action, 1])
  }
  return found
}

function played(pairs) {
  const actions = []
  for (let i = 0; i < pairs.length; i += 2) {
    const count = pairs[i + 1]
    if (!(Number.isInteger(count) && count >= 0 && actions.length + count <= MOST_ACTIONS)) {
      throw new Error("That moment is damaged: its keys can't be read.")
    }
    for (let n = 0; n < count; n++) actions.push(pairs[i])
  }
  return actions
}

function varint(number) {
  const bytes = []
  for (; number > 127; number = Math.floor(number / 128)) bytes.push((number % 128) | 128)
  return [...bytes, number]
}

function numbers(text) {
  const found = []
  let bytes
  try {
    bytes = atob(text.replaceAll("-", "+").replaceAll("_", "/"))
  } catch {
    throw new Error("That link is damaged: its keys can't be read.")
  }
  let number = 0, scale = 1
  for (const character of bytes) {
    const byte = character.charCodeAt(0)
    number += (byte & 127) * scale
    scale *= 128
    if (byte < 128) {
      found.push(number)
      ;[number, scale] = [0, 1]
    }
  }
  return found
}

function toBase64(bytes) {
  const text = btoa(bytes.map((byte) => String.fromCharCode(byte)).join(""))
  return text.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "")
}
