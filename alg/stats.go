package alg

import (
	"sync/atomic"

	"github.com/ftpalg/ftpalg/alg/dialogue"
	"github.com/ftpalg/ftpalg/alg/fate"
	"github.com/ftpalg/ftpalg/alg/policy"
)

// Stats count what the gateway did. They may be read from any goroutine.
type Stats struct {
	dialogue.Counts
	fate.Stats

	Packets       [len(Verdicts)]atomic.Uint64
	Untouched     [policy.NumReasons]atomic.Uint64 // packets that were not looked into, by reason
	Sessions      atomic.Int64                     // control connections
	Ended         atomic.Int64                     // and those that ended a short while ago
	Standby       atomic.Int64                     // those of another gateway, replicated into this kernel
	SessionsTotal atomic.Uint64
	Forgotten     atomic.Uint64 // sessions, before their end, to make room
	Vanished      atomic.Uint64 // sessions whose entry was gone from the kernel
	Stale         atomic.Uint64 // sessions picked up anew, because another wrote their entry
	Echoed        atomic.Uint64 // sessions whose entry was brought back as it was earlier
	Wiped         atomic.Uint64 // labels that another program had overwritten
	Adopted       atomic.Uint64 // sessions whose entry was older than the rules, and was replaced
	HalfOpen      atomic.Uint64 // handshakes noted
	Rewrites      [len(dialogue.Modes)]atomic.Uint64
	Opened        [len(dialogue.Modes)]atomic.Uint64
	Closed        [policy.NumReasons]atomic.Uint64
	Refused       [policy.NumReasons]atomic.Uint64
	Unlogged      atomic.Uint64 // transfers of which OnTransfer hears nothing, because there were too many
	KernelErrors  atomic.Uint64
}
