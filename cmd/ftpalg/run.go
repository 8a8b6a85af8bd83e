package main

import (
	"os"

	"github.com/spf13/cobra"
)

func newRun() *cobra.Command {
	c := &cobra.Command{
		Use:   "run",
		Short: "Run the gateway",
		Long: `Run the gateway until SIGTERM. It needs no configuration: then it serves port 21
over IPv4 and IPv6 with a table "inet ftpalg" of its own, which it removes at its
end, and metrics on 127.0.0.1:9821. SIGHUP reads the configuration again.

Another ftpalg with the same table is refused. With --takeover it takes the place of
the one that runs, as for an upgrade: no session notices, the old one ends by itself.

It needs CAP_NET_ADMIN and gives up every other capability. When it dies, traffic
goes on, and what it knew of running sessions is in the kernel.`,
		Example: `  sudo ftpalg run
  sudo ftpalg run --config /etc/ftpalg.yaml
  sudo ftpalg run --ports 21,2121 --log-format json
  sudo ftpalg run --takeover
  sudo FTPALG_EXTERNAL_ADDRESS=203.0.113.7 ftpalg run`,
		Args: cobra.NoArgs,
	}
	sources := addSettings(c)
	takeOver := c.Flags().Bool("takeover", false,
		"take the table and the sessions from an ftpalg that runs, which ends then")
	c.RunE = func(*cobra.Command, []string) error {
		if err := keepNetAdmin(); err != nil {
			return err
		}
		p, err := start(sources(), os.Stderr, *takeOver)
		if err != nil {
			return err
		}
		return p.serve()
	}
	return c
}
