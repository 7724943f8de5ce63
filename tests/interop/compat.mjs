// Node 18, as Debian 12 has it, lacks some globals.
globalThis.CustomEvent ??= class CustomEvent extends Event {
  constructor (type, init) { super(type, init); this.detail = init?.detail ?? null }
}
// Some of the libraries below the reference peer use Promise.withResolvers,
// which Node gained in version 22. Import this file before anything else.
Promise.withResolvers ??= function withResolvers () {
  let resolve, reject
  const promise = new this((res, rej) => { resolve = res; reject = rej })
  return { promise, resolve, reject }
}
