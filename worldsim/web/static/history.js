// What was played, to go back to: moments of any kind, oldest first, and the one shown.

const SECONDS = 600 // that can be gone back
const MOST_BYTES = 400 * 2 ** 20

// How many moments of a world to keep: ten minutes, or fewer if they would take too much memory.
export function mostMoments(state, fps) {
  const own = [state.entries.at(-1), state.memory.at(-1), state.latents, state.frame]
  const bytes = own.reduce((sum, array) => sum + (array ? array.byteLength : 0), 0)
  return Math.max(1, Math.min(Math.round(SECONDS * fps), Math.floor(MOST_BYTES / bytes)))
}

export class History {
  constructor(limit) {
    this.limit = limit
    this.moments = []
    this.position = -1
    this.dropped = 0 // moments that were there and have been forgotten
  }

  get now() {
    return this.moments[this.position]
  }

  get length() {
    return this.moments.length
  }

  // Go on after the moment shown; what came after it is forgotten.
  append(moment) {
    this.moments.length = this.position + 1
    this.moments.push(moment)
    if (this.moments.length > this.limit) {
      this.moments.shift()
      this.dropped += 1
    }
    this.position = this.moments.length - 1
  }

  // Show another moment, or the nearest there is.
  seek(position) {
    this.position = Math.min(Math.max(Math.round(position), 0), this.moments.length - 1)
  }
}
