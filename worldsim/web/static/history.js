// What was played, to go back to: a tree of lines of moments, the one shown, and bookmarks. As worldsim/viewer/history.py,
// which says more. A line begins a play, or leaves another line after one of its moments, which both share. Of all lines
// together only the newest moments are kept. Moments are values of any kind.

const SECONDS = 600 // that can be gone back
const MOST_BYTES = 400 * 2 ** 20
const MOST_BRANCHES = 8

// How many moments of a world to keep: ten minutes, or fewer if they would take too much memory.
export function mostMoments(state, fps) {
  const own = [state.entries.at(-1), state.memory.at(-1), state.latents, state.frame]
  const bytes = own.reduce((sum, array) => sum + (array ? array.byteLength : 0), 0)
  return Math.max(1, Math.min(Math.round(SECONDS * fps), Math.floor(MOST_BYTES / bytes)))
}

class Line {
  constructor(parent = null, fork = -1) {
    this.parent = parent
    this.fork = fork // number of the last moment shared with the parent
    this.first = fork + 1 // number of the oldest of its own moments that is kept
    this.kept = [] // [number in order of making, moment]
  }

  get last() {
    return this.first + this.kept.length - 1
  }

  // The line that moment `number` of this line was made in.
  owner(number) {
    let line = this
    while (number <= line.fork) line = line.parent
    return line
  }
}

export class History {
  constructor(limit, moment) {
    this.limit = limit
    this.made = 0
    this.line = new Line()
    this.branches = [] // other lines, the latest left one last
    this.marks = [] // [line, number]
    this.add(moment)
  }

  get oldest() {
    let { line } = this
    while (line.first === line.fork + 1 && line.parent && line.parent.first <= line.fork) line = line.parent
    return line.first
  }

  get position() {
    return this.number - this.oldest
  }

  get length() {
    return this.line.last - this.oldest + 1
  }

  get now() {
    const owner = this.line.owner(this.number)
    return owner.kept[this.number - owner.first][1]
  }

  // Positions of bookmarks in the line shown.
  get marked() {
    const { line, oldest } = this
    const here = this.marks.filter(([owner, n]) => n >= oldest && n <= line.last && line.owner(n) === owner)
    return here.map(([, n]) => n - oldest).sort((a, b) => a - b)
  }

  // The last moment of each branch.
  get tips() {
    return this.branches.map((line) => line.kept.at(-1)[1])
  }

  // Go on after the moment shown. If others came after it, the line with them becomes a branch.
  append(moment) {
    if (this.number < this.line.last) {
      this.branches = [...this.branches, this.line].slice(-MOST_BRANCHES)
      this.line = new Line(this.line.owner(this.number), this.number)
      this.tidy()
    }
    this.add(moment)
  }

  // Show another moment of the line, or the nearest there is.
  seek(position) {
    this.number = Math.min(Math.max(Math.round(position) || 0, 0), this.length - 1) + this.oldest
  }

  // Show the end of a branch; the line shown now becomes one.
  show(branch) {
    const line = this.branches[branch]
    if (!line) return
    this.branches = [...this.branches.filter((other) => other !== line), this.line]
    this.line = line
    this.number = line.last
  }

  // Set a bookmark at the moment shown, or take it away.
  mark() {
    const owner = this.line.owner(this.number), left = this.marks.filter(([l, n]) => l !== owner || n !== this.number)
    this.marks = left.length < this.marks.length ? left : [...left, [owner, this.number]]
  }

  // Show the next bookmark that is kept, of all lines in order of making.
  jump() {
    const here = this.line.owner(this.number)
    const after = this.marks.findIndex(([line, number]) => line === here && number === this.number) + 1
    for (const [owner, number] of [...this.marks.slice(after), ...this.marks.slice(0, after)]) {
      const holding = [this.line, ...this.branches].find((l) => number <= l.last && l.owner(number) === owner)
      if (!holding || number < owner.first) continue
      if (holding !== this.line) this.show(this.branches.indexOf(holding))
      this.number = Math.max(number, this.oldest)
      return
    }
  }

  // All lines that are still needed, those shared among them.
  lines() {
    const found = new Set()
    for (let line of [this.line, ...this.branches]) for (; line; line = line.parent) found.add(line)
    return found
  }

  // Drop bookmarks, and the ends of lines, that can't be returned to any more.
  tidy() {
    const lines = this.lines(), shown = new Set([this.line, ...this.branches])
    for (const line of lines) {
      if (shown.has(line)) continue
      const end = Math.max(...[...lines].filter(({ parent }) => parent === line).map(({ fork }) => fork))
      line.kept.length = Math.max(0, Math.min(line.kept.length, end - line.first + 1))
    }
    this.marks = this.marks.filter(([line, number]) => lines.has(line) && number <= line.last)
  }

  add(moment) {
    this.made += 1
    this.line.kept.push([this.made, moment])
    this.number = this.line.last
    const tooOld = this.made - this.limit
    for (const line of this.lines()) {
      while (line.kept.length && line.kept[0][0] <= tooOld) {
        line.kept.shift()
        line.first += 1
      }
    }
    if (this.branches.some(({ kept }) => !kept.length)) {
      this.branches = this.branches.filter(({ kept }) => kept.length)
      this.tidy()
    }
  }
}
