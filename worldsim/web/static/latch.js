// The keys a player holds, so that no tap between two frames is lost.

export class Latch {
  constructor() {
    this.held = new Set()
    this.tapped = new Set()
    this.stamp = 0 // when the newest key that no frame has seen yet changed; 0 if none
  }

  // All keys held now, those tapped since the last call, and when that was (the page's clock, echoed with the frame).
  set({ held, tapped, stamp }) {
    this.held = new Set(held)
    for (const code of tapped) this.tapped.add(code)
    this.stamp ||= stamp
  }

  // Codes for one frame, and the stamp of the change that this frame is the first to show.
  take() {
    const taken = [new Set([...this.held, ...this.tapped]), this.stamp]
    this.tapped.clear()
    this.stamp = 0
    return taken
  }

  // Drop pending taps, where time stood still or stands still now; keys held stay held.
  forgetTaps() {
    this.tapped.clear()
    this.stamp = 0
  }
}
