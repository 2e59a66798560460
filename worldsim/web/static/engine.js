// Who plays: a worker of this page, or the server that the page came from. Both take the same commands and give the
// same events, those of player.js and these:
//
//   commands   {do: "open", world, start, seed, actions, backend} {do: "close"}
//   events     {on: "loading", loaded, total} {on: "opened", backend, threads} {on: "waiting", place}
//              {on: "lost"} {on: "back"} {on: "error", message}
//
// A frame, and each of the branches, has `pixels` (RGBA) or, from a server, `image` (an ImageBitmap). On a server, several
// can play together: `open` takes a `code`, as does {do: "invite", code}; "opened" has start and seed of what is played;
// frames have `seat` (one's own number, from 0), `seats`, and `driver` (of whose keys led to the frame, or null).

export function openEngine(site, onEvent) {
  return site.plays === "server" ? new RemoteEngine(onEvent) : new LocalEngine(site, onEvent)
}

class LocalEngine {
  constructor(site, onEvent) {
    this.worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" })
    this.worker.onmessage = ({ data }) => onEvent(data)
    this.worker.onerror = (event) => onEvent({ on: "error", message: event.message || "This browser can't run worlds." })
    this.worker.postMessage({ do: "site", site })
  }

  send(command) {
    this.worker.postMessage(command)
  }
}

const RETRY = 1000 // ms between attempts to reconnect
const ATTEMPTS = 60

class RemoteEngine {
  constructor(onEvent) {
    this.onEvent = onEvent
    this.token = null // of the session, with which a broken connection is taken up again
    this.moment = null // what is played: where the server is a new one, it is opened again
    this.queue = []
    this.attempts = 0
    this.decoding = Promise.resolve()
    this.connect()
  }

  connect() {
    const url = new URL("play", import.meta.url)
    url.protocol = url.protocol.replace("http", "ws")
    url.search = new URLSearchParams(location.search)
    if (this.token) url.searchParams.set("session", this.token)
    this.socket = new WebSocket(url)
    this.socket.binaryType = "arraybuffer"
    this.socket.onmessage = ({ data }) => this.receive(data)
    this.socket.onopen = () => {
      if (this.attempts) this.onEvent({ on: "back" })
      this.attempts = 0
      for (const command of this.queue.splice(0)) this.send(command)
    }
    this.socket.onclose = ({ code, reason }) => {
      if (code === 4000) return this.onEvent({ on: "error", message: reason }) // the server said why: final
      if (this.attempts++ >= ATTEMPTS) {
        return this.onEvent({ on: "error", message: "The server does not answer. Reload the page to try again." })
      }
      this.onEvent({ on: "lost" })
      setTimeout(() => this.connect(), RETRY)
    }
  }

  send(command) {
    if (command.do === "open") this.moment = { ...command, actions: [...command.actions] }
    if (command.do === "close") this.moment = null
    if (command.do === "invite" && this.moment) this.moment.code = command.code
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(command))
    else if (command.do === "open") this.queue = [command]
  }

  session(token) {
    const lost = this.token && this.token !== token && this.moment && !this.queue.length
    this.token = token
    if (lost) this.send(this.moment)
  }

  // Text is an event; bytes are a frame: the length of its event (uint32), the event, the picture.
  receive(data) {
    if (typeof data === "string") {
      const event = JSON.parse(data)
      if (event.on === "session") return this.session(event.token)
      if (event.on === "branches") return this.deliver(event, this.pictures(event.branches))
      if (event.on === "opened" && this.moment) Object.assign(this.moment, { start: event.start, seed: event.seed })
      return this.deliver(event)
    }
    const length = new DataView(data).getUint32(0)
    const event = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)))
    if (this.moment && !event.replaying) {
      this.moment.actions.length = event.known
      this.moment.actions.push(...event.actions)
    }
    this.deliver(event, createImageBitmap(new Blob([data.slice(4 + length)])).then((image) => ({ image })))
  }

  // Events come in order, however long their pictures take.
  deliver(event, decoded = null) {
    this.decoding = Promise.all([decoded, this.decoding]).then(([more]) => this.onEvent({ ...event, ...more }))
  }

  async pictures(branches) {
    const bytes = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0))
    const images = await Promise.all(branches.map(({ picture }) => createImageBitmap(new Blob([bytes(picture)]))))
    return { branches: branches.map(({ index }, i) => ({ index, image: images[i] })) }
  }
}
