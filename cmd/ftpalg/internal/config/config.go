package config

import (
	"log/slog"

	"github.com/ftpalg/ftpalg/alg"
	"github.com/ftpalg/ftpalg/alg/policy"
)

// HelperAuto lets the probe choose the conntrack helper.
const HelperAuto = "auto"

// WorkersAuto has the program choose how many workers there are.
const WorkersAuto = 0

// maxWorkers is far more than the kernel's part of the work leaves room for.
const maxWorkers = 64

// Config is all that can be configured.
type Config struct {
	Ports         []uint16 // of control connections
	Queue         uint16   // of the first worker
	Workers       int      // WorkersAuto: as many as fit the machine
	Table         string   // name of the nftables table
	ExternalRules bool     // the operator manages the rules
	Helper        string   // HelperAuto or the name of a conntrack helper
	Events        bool     // whether the kernel's events are listened to
	Zones         Zones
	Metrics       Metrics
	HTTP          HTTP
	Socket        Socket
	Names         alg.Names // of strangers, that are kept to be shown
	Log           Log
	Policy        policy.Policy
	Policies      []policy.Network // in place of Policy between some networks
}

// Zones says in which conntrack zones, besides 0, control connections are. The zero value: in none.
type Zones struct {
	Any   bool
	Named []uint16
}

// None tells that there is no zone but 0.
func (z Zones) None() bool { return !z.Any && len(z.Named) == 0 }

// Metrics says where metrics are served.
type Metrics struct {
	Address string // empty: nowhere
	Path    string
}

// HTTP says what else is served where metrics are.
type HTTP struct {
	Sessions bool   // whether the page lists control connections
	File     string // with TLS and users, in the format of Prometheus exporters; empty: none
}

// Socket says where the program tells what it does.
type Socket struct {
	Path  string // empty: nowhere
	Group string // name or number of the group that may ask; empty: the program's own
}

// Log says how the program logs.
type Log struct {
	JSON      bool
	Level     slog.Level
	Transfers string // file with a line for each transfer, or "stdout"; empty: nowhere
}

// Default returns the configuration of a program that is told nothing.
func Default() Config {
	return Config{
		Ports:   []uint16{21},
		Queue:   2121,
		Table:   "ftpalg",
		Helper:  HelperAuto,
		Events:  true,
		Metrics: Metrics{Address: "127.0.0.1:9821", Path: "/metrics"},
		Socket:  Socket{Path: "/run/ftpalg.sock"},
		Names:   alg.Names{Users: true, Files: true},
		Policy:  policy.Default(),
	}
}
