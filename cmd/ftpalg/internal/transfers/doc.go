// Package transfers writes the log of transfers: a line of JSON for each. Who puts one in never waits:
// a goroutine of its own writes, and what it cannot write in time is counted and left out.
package transfers
