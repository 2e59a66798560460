// Random numbers of generated frames: bit for bit those of worldsim/rng.py, which is numpy's Philox and ziggurat.
// A function of seed, frame and draw alone; there is no generator state between frames.

// Philox 4x64, 10 rounds (Salmon et al. 2011). 64-bit words are pairs of 32-bit halves, because BigInt is slow.
const MULTIPLIERS = [[0xd2e7470e, 0xe14c6c93], [0xca5a8263, 0x95121157]]
const WEYL = [[0x9e3779b9, 0x7f4a7c15], [0xbb67ae85, 0x84caa73b]]
const ROUNDS = 10
const WORD = 2 ** 32

let high = 0, low = 0 // of the last product: 32-bit halves of `wide`

function wide(a, b) {
  const a0 = a & 0xffff, a1 = a >>> 16, b0 = b & 0xffff, b1 = b >>> 16
  const least = a0 * b0
  const middle = a1 * b0 + (least >>> 16)
  const other = a0 * b1 + (middle & 0xffff)
  high = a1 * b1 + Math.floor(middle / 65536) + Math.floor(other / 65536)
  low = ((other << 16) | (least & 0xffff)) >>> 0
}

const product = new Uint32Array(4) // 128 bits, most significant first

function multiply(a, bUpper, bLower) {
  const [aUpper, aLower] = a
  wide(aLower, bLower)
  const p3 = low, carry = high
  wide(aLower, bUpper)
  const h1 = high, l1 = low
  wide(aUpper, bLower)
  const h2 = high, l2 = low
  wide(aUpper, bUpper)
  const sum = carry + l1 + l2
  const next = h1 + h2 + low + Math.floor(sum / WORD)
  product[3] = p3
  product[2] = sum % WORD
  product[1] = next % WORD
  product[0] = high + Math.floor(next / WORD)
}

class Philox {
  constructor(seed, stream, frame) {
    this.key = [Number(seed >> 32n), Number(seed & 0xffffffffn), 0, stream]
    this.frame = frame
    this.block = 0
    this.words = new Uint32Array(8) // four 64-bit words, halves in the order in which they are drawn: low, high
    this.next = 8
  }

  uint32() {
    if (this.next === 8) this.fill()
    return this.words[this.next++]
  }

  // The top 53 bits of a 64-bit word, as a number in [0, 1).
  double() {
    const lower = this.uint32(), upper = this.uint32()
    return (upper * 2097152 + (lower >>> 11)) / 2 ** 53
  }

  float() {
    return (this.uint32() >>> 8) / 16777216
  }

  fill() {
    this.block += 1
    let [k0h, k0l, k1h, k1l] = this.key
    let c0h = 0, c0l = this.block, c1h = 0, c1l = 0, c2h = 0, c2l = 0
    let c3h = Math.floor(this.frame / WORD), c3l = this.frame >>> 0
    for (let round = 0; round < ROUNDS; round++) {
      multiply(MULTIPLIERS[0], c0h, c0l)
      const [m0, m1, m2, m3] = product
      multiply(MULTIPLIERS[1], c2h, c2l)
      c0h = (product[0] ^ c1h ^ k0h) >>> 0
      c0l = (product[1] ^ c1l ^ k0l) >>> 0
      c2h = (m0 ^ c3h ^ k1h) >>> 0
      c2l = (m1 ^ c3l ^ k1l) >>> 0
      c1h = product[2]
      c1l = product[3]
      c3h = m2
      c3l = m3
      let sum = k0l + WEYL[0][1]
      k0h = (k0h + WEYL[0][0] + Math.floor(sum / WORD)) >>> 0
      k0l = sum >>> 0
      sum = k1l + WEYL[1][1]
      k1h = (k1h + WEYL[1][0] + Math.floor(sum / WORD)) >>> 0
      k1l = sum >>> 0
    }
    this.words.set([c0l, c0h, c1l, c1h, c2l, c2h, c3l, c3h])
    this.next = 0
  }
}

// Ziggurat of 256 layers for the normal distribution (Marsaglia and Tsang 2000), in float32 with 23 random bits.
const TAIL = 3.6541528853610088 // where the lowest layer's rectangle ends
const AREA = 0.004928673233974658 // of each layer
const BITS = 2 ** 23
const density = (x) => Math.exp(-0.5 * x * x)
const inside = new Uint32Array(256), width = new Float32Array(256), curve = new Float32Array(256)
{
  const base = AREA / density(TAIL)
  let x = TAIL
  width[0] = base / BITS
  inside[0] = (TAIL / base) * BITS
  curve[0] = 1
  width[255] = TAIL / BITS
  curve[255] = density(TAIL)
  for (let i = 254; i > 0; i--) {
    const next = Math.sqrt(-2 * Math.log(AREA / x + density(x)))
    inside[i + 1] = (next / x) * BITS
    width[i] = next / BITS
    curve[i] = density(next)
    x = next
  }
}

function normal(bits) {
  for (;;) {
    const drawn = bits.uint32(), layer = drawn & 255, steps = (drawn >>> 9) & 0x7fffff
    let x = Math.fround(steps * width[layer])
    if ((drawn >>> 8) & 1) x = -x
    if (steps < inside[layer]) return x
    if (layer === 0) {
      for (;;) {
        const far = Math.fround(Math.fround(-1 / TAIL) * Math.fround(Math.log1p(-bits.float())))
        const limit = -Math.fround(Math.log1p(-bits.float()))
        if (limit + limit > Math.fround(far * far)) {
          const value = Math.fround(Math.fround(TAIL) + far)
          return (steps >>> 8) & 1 ? -value : value
        }
      }
    }
    const rise = Math.fround(Math.fround(curve[layer - 1] - curve[layer]) * bits.float())
    if (Math.fround(rise + curve[layer]) < Math.exp(-0.5 * x * x)) return x
  }
}

// Normal noise for one frame: Float32Array of `count`, for a seed (BigInt below 2^64).
export function frameNoise(seed, frame, count) {
  const bits = new Philox(seed, 0, frame), noise = new Float32Array(count)
  for (let i = 0; i < count; i++) noise[i] = normal(bits)
  return noise
}

// A uniform random number in [0, 1) for one frame, from a stream of its own.
export function frameChance(seed, frame) {
  return new Philox(seed, 1, frame).double()
}
