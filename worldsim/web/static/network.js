// A world's network in ONNX Runtime: fetched, checked and made ready to run. Knows nothing of states.

const MOST_THREADS = 4 // a step is small: more threads wait for each other

// The `run` of a World. site: site.json. backend: "wasm" or "webgpu". progress(loaded, total): bytes.
export async function loadNetwork(site, world, backend, progress) {
  const runtime = backend === "webgpu" ? "ort-wasm-simd-threaded.asyncify" : "ort-wasm-simd-threaded"
  const names = [`ort/${runtime}.wasm.packed`, `worlds/${world}/weights.bin`, `worlds/${world}/step.onnx`]
  const total = names.reduce((sum, name) => sum + site.files[name].bytes, 0)
  let loaded = 0
  const count = (bytes) => progress((loaded += bytes), total)
  const ort = await import(`./ort/ort.${backend}.min.mjs`)
  const [packed, weights, graph] = await Promise.all(names.map((name) => fetchFile(site, name, count)))
  ort.env.wasm.wasmBinary = await unpack(packed)
  ort.env.wasm.wasmPaths = { mjs: new URL(`ort/${runtime}.mjs`, import.meta.url).href }
  ort.env.wasm.numThreads = threads()
  ort.env.logLevel = "error"
  const session = await ort.InferenceSession.create(graph, {
    executionProviders: [backend],
    externalData: [{ path: "weights.bin", data: weights }],
    graphOptimizationLevel: "all",
    extra: { session: { intra_op: { allow_spinning: "0" } } }, // waiting threads leave the cores to the page
  })
  return async (inputs) => {
    const feeds = {}
    for (const [name, [type, data, dims]] of Object.entries(inputs)) feeds[name] = new ort.Tensor(type, data, dims)
    return session.run(feeds)
  }
}

// One thread where the browser shares no memory between threads: see isolation.js.
export function threads() {
  return globalThis.crossOriginIsolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency || 1) : 1
}

// The bytes of a file of the site, checked against its manifest.
export async function fetchFile(site, name, count = () => {}) {
  const facts = site.files[name]
  const response = await fetch(new URL(name, import.meta.url)).catch(() => null)
  if (!response?.ok) throw new Error(`${name} does not load. Check the connection, and try again.`)
  const bytes = new Uint8Array(facts.bytes), reader = response.body.getReader()
  let at = 0
  for (;;) {
    const { done, value } = await reader.read()
    if (done) break
    if (at + value.length > bytes.length) throw damaged(name)
    bytes.set(value, at)
    at += value.length
    count(value.length)
  }
  if (at !== bytes.length) throw damaged(name)
  if (globalThis.crypto?.subtle) {
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))
    const hex = Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("")
    if (hex !== facts.sha256) throw damaged(name)
  }
  return bytes
}

function damaged(name) {
  return new Error(`${name} is not the file that was exported. Reload the page without its cache, or export again.`)
}

async function unpack(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))
  return new Uint8Array(await new Response(stream).arrayBuffer())
}
