// Package api is what the running program tells on its Unix socket: HTTP, and JSON with a version field.
//
//	GET /v1/sessions  the control connections and their data connections: Sessions
//	GET /v1/status    what was chosen, counters, health: Status
//	GET /v1/events    a line of JSON for each thing that happens, as it happens: Event
//
// Texts that strangers sent have everything but printable ASCII escaped, as in Go's "\x1b". Fields may
// be added in a version; a reader passes over those that it does not know.
package api
