// The keyboard and the buttons on screen, as physical keys of a world: both press the same codes.

const LABELS = {
  ArrowUp: "↑", ArrowDown: "↓", ArrowLeft: "←", ArrowRight: "→", Escape: "Esc", Minus: "-", Equal: "=",
  Semicolon: ";", Quote: "'", Comma: ",", Period: ".", Slash: "/", ShiftLeft: "Shift", ControlLeft: "Ctrl",
}
const CROSS = { ArrowUp: "1 / 2", ArrowLeft: "2 / 1", ArrowDown: "2 / 2", ArrowRight: "2 / 3" } // row / column

// What to print on a key's cap: "KeyW" -> "W".
export function label(code) {
  return LABELS[code] ?? code.replace(/^(Key|Digit)/, "").replace("Numpad", "Num ")
}

export class Keys {
  // onChange({held, tapped, stamp}) is called whenever a key of the world goes down or up.
  constructor(pad, onChange) {
    this.pad = pad
    this.onChange = onChange
    this.held = new Map() // code -> how many fingers and keys hold it
    this.codes = new Set()
    this.buttons = new Map()
    addEventListener("keydown", (event) => this.keyboard(event, true))
    addEventListener("keyup", (event) => this.keyboard(event, false))
    addEventListener("blur", () => this.releaseAll())
    document.addEventListener("visibilitychange", () => document.hidden && this.releaseAll())
  }

  // Take over the keys of a world; null for none.
  use(world) {
    this.releaseAll()
    this.codes = new Set(world ? Object.values(world.keys).flat() : [])
    this.buttons.clear()
    this.pad.replaceChildren()
    if (!world) return
    const cross = document.createElement("div"), others = document.createElement("div")
    const used = new Set(world.actions.flatMap(({ buttons }) => buttons))
    cross.className = "cross"
    others.className = "others"
    for (const [name, codes] of Object.entries(world.keys)) {
      if (!used.has(name)) continue
      const arrow = codes.find((code) => code in CROSS)
      const button = this.button(name, codes, arrow ?? codes[0])
      if (arrow) button.style.gridArea = CROSS[arrow]
      ;(arrow ? cross : others).append(button)
    }
    for (const part of [cross, others]) if (part.children.length) this.pad.append(part)
  }

  button(name, codes, code) {
    const button = document.createElement("button")
    button.type = "button"
    button.tabIndex = -1 // the keyboard has the keys themselves
    button.setAttribute("aria-label", `${name}: key ${codes.map(label).join(" or ")}`)
    const cap = document.createElement("kbd")
    cap.textContent = codes.map(label).join(" ")
    button.append(cap, name)
    const held = new Set() // fingers
    button.addEventListener("pointerdown", (event) => {
      event.preventDefault()
      button.setPointerCapture(event.pointerId)
      held.add(event.pointerId)
      this.press(code)
    })
    const release = (event) => held.delete(event.pointerId) && this.release(code)
    for (const kind of ["pointerup", "pointercancel", "lostpointercapture"]) button.addEventListener(kind, release)
    button.addEventListener("contextmenu", (event) => event.preventDefault())
    for (const one of codes) this.buttons.set(one, button)
    return button
  }

  keyboard(event, down) {
    if (!this.codes.has(event.code)) return
    if (down && (event.ctrlKey || event.metaKey || event.altKey)) return // the browser's own
    if (down && event.target.closest?.("select, input:not([type=range])")) return
    event.preventDefault()
    if (event.repeat) return
    if (down) this.press(event.code)
    else this.release(event.code)
  }

  press(code) {
    this.held.set(code, (this.held.get(code) ?? 0) + 1)
    this.changed([code])
  }

  release(code) {
    const left = (this.held.get(code) ?? 0) - 1
    if (left > 0) this.held.set(code, left)
    else if (!this.held.delete(code)) return
    this.changed([])
  }

  releaseAll() {
    if (!this.held.size) return
    this.held.clear()
    this.changed([])
  }

  changed(tapped) {
    const lit = new Set([...this.held.keys()].map((code) => this.buttons.get(code)))
    for (const button of this.buttons.values()) button.classList.toggle("lit", lit.has(button))
    this.onChange({ held: [...this.held.keys()], tapped, stamp: performance.now() })
  }
}
