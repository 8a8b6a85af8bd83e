package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// newRoot returns the whole command line.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "ftpalg",
		Short: "FTP through NAT and firewalls, and nothing else",
		Long: `ftpalg reads the control connections of FTP on a Linux gateway, corrects the
addresses in PORT, EPRT, 227 and 229, and lets in exactly the one data connection
that was negotiated. Data never passes through it.`,
		Example: `  sudo ftpalg demo         # see it work on three network namespaces
  sudo ftpalg check        # can this machine do it?
  sudo ftpalg run          # do it, for port 21`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newRun(), newCheck(), newDemo(), newInspect(), newExplain(), newRules(), newVersion(),
		newManual(), newSessions(), newStatus(), newEvents())
	for _, c := range root.Commands() {
		c.Annotations = map[string]string{exitAnnotation: exits[c.Name()]}
	}
	root.SetUsageFunc(withExits(root.UsageFunc()))
	return root
}

// withExits adds what the exit status tells to what usage prints. A template of cobra's would do it too, but
// it brings text/template, for which the linker keeps all methods: a quarter more of program.
func withExits(usage func(*cobra.Command) error) func(*cobra.Command) error {
	return func(c *cobra.Command) error {
		err := usage(c)
		if text := c.Annotations[exitAnnotation]; err == nil && text != "" {
			_, err = fmt.Fprintf(c.OutOrStderr(), "\nExit status:\n%s\n", text)
		}
		return err
	}
}
