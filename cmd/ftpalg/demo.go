package main

import (
	"fmt"
	"os"
	"os/signal"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/demo"
)

func newDemo() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Show the gateway at work on network namespaces",
		Long: `Build clients, a NAT gateway and servers out of network namespaces, transfer a
file in every mode without the gateway and with it, and print what happened. It
touches nothing of this machine's own network and leaves nothing behind.`,
		Example: "  sudo ftpalg demo",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find this program's file: %w", err)
			}
			if err := forgetEnvironment(); err != nil {
				return err
			}
			// Of a SIGPIPE, as behind a pager, it would die at once, and leave its namespaces.
			ctx, stop := signal.NotifyContext(c.Context(), unix.SIGTERM, unix.SIGINT, unix.SIGPIPE)
			defer stop()
			return demo.Run(ctx, c.OutOrStdout(), []string{self, "run", "--metrics-address", "off"})
		},
	}
}

// forgetEnvironment makes the gateway of the demo run with the defaults.
func forgetEnvironment() error {
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "FTPALG_") {
			if err := os.Unsetenv(name); err != nil {
				return err
			}
		}
	}
	return nil
}
