package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/api"
	"github.com/ftpalg/ftpalg/conntrack/probe"
)

func newCheck() *cobra.Command {
	c := &cobra.Command{
		Use:   "check",
		Short: "Tell what this kernel and this firewall can do, and what to do about the rest",
		Long: `Try everything that the gateway needs, without starting it, and look for what is in its
way: each thing as found, missing, a note or a warning, with its id, and what to do. "ftpalg explain ID"
says more.`,
		Example: `  sudo ftpalg check
  sudo ftpalg check --json | jq '.checks[] | select(.status == "warning")'
  ftpalg check --config-only --config /etc/ftpalg.yaml   # is the file right? asks no kernel`,
		Args: cobra.NoArgs,
	}
	sources := addSettings(c)
	configOnly := c.Flags().Bool("config-only", false, "look at the configuration and at nothing else")
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		conf, err := sources().Load()
		switch {
		case err != nil:
			return badConfig{err}
		case *configOnly && *asJSON:
			return printJSON(c.OutOrStdout(), found{Version: api.Version, Checks: []judged{}})
		case *configOnly:
			_, err := fmt.Fprintln(c.OutOrStdout(), "The configuration is right.")
			return err
		}
		r := probe.Run(probe.Options{Queue: conf.Queue, Table: conf.Table, Ports: conf.Ports,
			Open: conf.Policy.Limits.Total.Open, AnyZone: conf.Zones.Any, Zones: conf.Zones.Named})
		r.Items = append(r.Items, whoHoldsOffsets)
		r.Items = append(r.Items, ofOtherGateway(c.Context(), conf.Socket.Path)...)
		return tellReport(c.OutOrStdout(), r, *asJSON)
	}
	return c
}

// tellReport prints the report; the error has the exit status that goes with it.
func tellReport(w io.Writer, r probe.Report, asJSON bool) error {
	health := healthOf(r)
	if asJSON {
		err := printJSON(w, foundBy(r, health))
		if err == nil && health != api.OK {
			err = exitCode(health)
		}
		return err
	}
	if err := printReport(w, r); err != nil {
		return err
	}
	if _, err := probe.Choose(r); err != nil {
		return failure{err, exitCode(api.Failing)}
	}
	if health != api.OK {
		return exitCode(health)
	}
	return nil
}

func healthOf(r probe.Report) (health api.Level) {
	if _, err := probe.Choose(r); err != nil {
		return api.Failing
	}
	for _, i := range r.Items {
		if i.Status == probe.Warning {
			health = api.Warning
		}
	}
	return health
}

// found is the report as JSON.
type found struct {
	Version int       `json:"version"` // of what follows
	Health  api.Level `json:"health"`
	Checks  []judged  `json:"checks"`
}

type judged struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Status   string `json:"status"` // found, missing, note or warning
	Detail   string `json:"detail,omitempty"`
	Remedy   string `json:"remedy,omitempty"`
	Required bool   `json:"required"` // it cannot work while it is missing
}

func foundBy(r probe.Report, health api.Level) found {
	f := found{Version: api.Version, Health: health}
	for _, i := range r.Items {
		f.Checks = append(f.Checks, judged{i.ID, i.Name(), i.Status.String(), i.Detail, i.Fix, i.Required})
	}
	return f
}

// badConfig is what is wrong with the configuration; it has an exit status of its own.
type badConfig struct{ error }

func (b badConfig) Unwrap() error { return b.error }

// whoHoldsOffsets is a limit of every kernel (nf_ct_seqadj needs NAT and skips lo).
var whoHoldsOffsets = probe.Item{
	ID: "sequence_offsets", Status: probe.Note,
	Detail: "the kernel holds them for connections that it translates; without NAT on this machine and on " +
		"loopback the program does, and a rewritten session of those ends with the program",
}

// askPatience is how long a program that may run is asked: one that hangs must not stop the check.
const askPatience = 5 * time.Second

// ofOtherGateway is what a gateway that stands by says of the sessions of the other one of the pair, by the
// socket at path. There is nothing to say if none runs: only a program that hears the kernel's events knows.
func ofOtherGateway(ctx context.Context, path string) (items []probe.Item) {
	if path == "" {
		return nil
	}
	if !exists(path) && exists(ofService) {
		path = ofService
	}
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	var s api.Status
	if api.NewClient(path).Get(ctx, "status", &s) != nil {
		return nil
	}
	for _, c := range s.Checks {
		if c.ID == idStandby {
			items = append(items, probe.Item{ID: idStandby, Status: probe.Note, Detail: c.Detail})
		}
	}
	return items
}

func printReport(w io.Writer, r probe.Report) error {
	for _, i := range r.Items {
		if _, err := fmt.Fprintf(w, "%-8s %-24s %s\n", i.Status, i.ID, shown(i.Detail)); err != nil {
			return err
		}
		if i.Fix != "" {
			if _, err := fmt.Fprintf(w, "%-8s %-24s to do: %s\n", "", "", shown(i.Fix)); err != nil {
				return err
			}
		}
	}
	return nil
}
