// Package policy says what is allowed and to whom: which ports a gateway may open, within which
// limits, which commands it keeps from a server, and what it writes in place of an address. It
// holds the one table of reasons, the words that stand in logs, metrics and documents wherever
// something was refused, shut or left alone. It has no state.
package policy
