// Frames a second, and the time from a key to the frame that shows it. Draws nothing.

const SECOND = 1000
const KEPT = 31 // latencies, of which the median is told

export class Meter {
  constructor() {
    this.times = []
    this.latencies = []
  }

  // A frame was drawn at `now`; `stamp` is when the key changed that it is the first to show, 0 if none.
  frame(now, stamp) {
    this.times.push(now)
    while (this.times[0] < now - SECOND) this.times.shift()
    if (!stamp) return
    this.latencies.push(now - stamp)
    if (this.latencies.length > KEPT) this.latencies.shift()
  }

  // Over the last second of drawn frames; null before there were two.
  get fps() {
    const { times } = this
    return times.length > 1 ? ((times.length - 1) * SECOND) / (times.at(-1) - times[0]) : null
  }

  get latency() {
    return [...this.latencies].sort((a, b) => a - b)[Math.floor(this.latencies.length / 2)] ?? null
  }
}
