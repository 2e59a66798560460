// A service worker that adds the two headers without which a browser shares no memory between threads, for hosts that
// can't send them. Without it worlds play on one thread. Changes nothing else, and keeps nothing.

self.addEventListener("install", () => self.skipWaiting())
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()))
self.addEventListener("fetch", (event) => {
  const { request } = event
  if (new URL(request.url).origin !== self.location.origin) return
  event.respondWith(
    fetch(request).then((response) => {
      if (response.status === 0) return response
      const headers = new Headers(response.headers)
      headers.set("Cross-Origin-Opener-Policy", "same-origin")
      headers.set("Cross-Origin-Embedder-Policy", "require-corp")
      const { status, statusText } = response
      return new Response(response.body, { status, statusText, headers })
    }),
  )
})
