package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/config"
)

// flagged are the keys of the configuration that have a flag.
var flagged = []struct{ key, usage string }{
	{"ports", "ports of control connections"},
	{"queue", "number of the netfilter queue"},
	{"workers", "workers, each with a queue of its own from that number on"},
	{"rules", "who manages the nftables rules"},
	{"helper", "conntrack helper of control connections"},
	{"external_address", "public address of a gateway behind one-to-one NAT"},
	{"tls", "what happens to AUTH TLS"},
	{"metrics.address", "where metrics are served"},
	{"http.config_file", "TLS and users of the listener for metrics and the status page"},
	{"socket.path", "Unix socket of sessions, status and events"},
	{"log.format", "form of the log"},
	{"log.level", "least important lines to log"},
}

// addSettings gives c the flags of the configuration; what it returns tells
// afterwards where the configuration comes from.
func addSettings(c *cobra.Command) func() config.Sources {
	f := c.Flags()
	f.String("config", "", "YAML `file` (FTPALG_CONFIG)")
	for _, s := range flagged {
		f.String(config.FlagName(s.key), "",
			s.usage+": `"+config.Allowed(s.key)+"` ("+config.EnvName(s.key)+")")
	}
	return func() config.Sources {
		src := config.Sources{File: f.Lookup("config").Value.String(), Env: os.LookupEnv,
			Flags: map[string]string{}}
		if src.File == "" {
			src.File = os.Getenv("FTPALG_CONFIG")
		}
		for _, s := range flagged {
			if fl := f.Lookup(config.FlagName(s.key)); fl.Changed {
				src.Flags[s.key] = fl.Value.String()
			}
		}
		return src
	}
}
