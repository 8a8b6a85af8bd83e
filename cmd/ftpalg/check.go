package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/ftpalg/ftpalg/conntrack/probe"
)

func newCheck() *cobra.Command {
	c := &cobra.Command{
		Use:   "check",
		Short: "Tell what this kernel and this firewall can do, and what to do about the rest",
		Long: `Try everything that the gateway needs, without starting it: each need as found,
missing or a note, and what to do. The exit status is 1 if it cannot run here, and
2 if the configuration has mistakes.`,
		Example: `  sudo ftpalg check
  ftpalg check --config-only --config /etc/ftpalg.yaml   # is the file right? asks no kernel`,
		Args: cobra.NoArgs,
	}
	sources := addSettings(c)
	configOnly := c.Flags().Bool("config-only", false, "look at the configuration and at nothing else")
	c.RunE = func(c *cobra.Command, _ []string) error {
		conf, err := sources().Load()
		if err != nil {
			return badConfig{err}
		}
		if *configOnly {
			_, err := fmt.Fprintln(c.OutOrStdout(), "The configuration is right.")
			return err
		}
		r := probe.Run(probe.Options{Queue: conf.Queue, Table: conf.Table})
		r.Items = append(r.Items, whoHoldsOffsets)
		if err := printReport(c.OutOrStdout(), r); err != nil {
			return err
		}
		_, err = probe.Choose(r)
		return err
	}
	return c
}

// badConfig is what is wrong with the configuration; it has an exit status of its own.
type badConfig struct{ error }

func (b badConfig) Unwrap() error { return b.error }

// whoHoldsOffsets is a limit of every kernel (nf_ct_seqadj needs NAT and skips lo).
var whoHoldsOffsets = probe.Item{
	Name: "sequence offsets", Status: probe.Note,
	Detail: "the kernel holds them for connections that it translates; without NAT on this machine and on " +
		"loopback the program does, and a rewritten session of those ends with the program",
}

func printReport(w io.Writer, r probe.Report) error {
	for _, i := range r.Items {
		if _, err := fmt.Fprintf(w, "%-8s %-24s %s\n", i.Status, i.Name, i.Detail); err != nil {
			return err
		}
		if i.Fix != "" {
			if _, err := fmt.Fprintf(w, "%-8s %-24s to do: %s\n", "", "", i.Fix); err != nil {
				return err
			}
		}
	}
	return nil
}
