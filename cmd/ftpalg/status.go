package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/api"
)

func newStatus() *cobra.Command {
	c := &cobra.Command{
		Use:   "status",
		Short: "Tell how the running gateway is",
		Long: `Tell what the running gateway is, what it has done, and whether it is well: each check
with its id, and what to do.`,
		Example: `  sudo ftpalg status
  sudo ftpalg status --quiet || logger "ftpalg is not well"`,
		Args: cobra.NoArgs,
	}
	socket := addSocket(c)
	asJSON := c.Flags().Bool("json", false, "print JSON")
	quiet := c.Flags().Bool("quiet", false, "print nothing")
	c.RunE = func(c *cobra.Command, _ []string) error {
		var s api.Status
		err := socket().Get(c.Context(), "status", &s)
		switch {
		case err != nil && *quiet:
			return exitCode(api.Failing)
		case err != nil:
			return failure{err, exitCode(api.Failing)}
		case *asJSON:
			err = printJSON(c.OutOrStdout(), &s)
		case !*quiet:
			err = printStatus(c.OutOrStdout(), &s)
		}
		if err == nil && s.Health != api.OK {
			err = exitCode(s.Health)
		}
		return err
	}
	return c
}

func printStatus(w io.Writer, s *api.Status) error {
	fmt.Fprintf(w, "ftpalg %s on Linux %s, up %s, ports %v: %s\n",
		shown(s.Program), shown(s.Kernel), seconds(s.Uptime), s.Ports, s.Health)
	for _, k := range slices.Sorted(maps.Keys(s.Chosen)) {
		fmt.Fprintf(w, "  %-24s %s\n", shown(k), shown(s.Chosen[k]))
	}
	for _, k := range slices.Sorted(maps.Keys(s.Counters)) {
		fmt.Fprintf(w, "  %-24s %d\n", shown(k), s.Counters[k])
	}
	for _, c := range s.Checks {
		fmt.Fprintf(w, "%-8s %-16s %s", c.Level, shown(c.ID), shown(c.Name))
		if c.Detail != "" {
			fmt.Fprintf(w, ": %s", shown(c.Detail))
		}
		fmt.Fprintln(w)
		if c.Remedy != "" {
			fmt.Fprintf(w, "%-8s %-16s to do: %s\n", "", "", shown(c.Remedy))
		}
	}
	return nil
}

func newEvents() *cobra.Command {
	c := &cobra.Command{
		Use:   "events",
		Short: "Follow what the running gateway does",
		Long: `Follow what happens, as it happens: each port that is opened, each refusal, and what
came of each port. It asks the running gateway on its Unix socket.`,
		Example: `  sudo ftpalg events
  sudo ftpalg events --json --server 192.0.2.21`,
		Args: cobra.NoArgs,
	}
	socket, filter := addSocket(c), addFilter(c)
	asJSON := c.Flags().Bool("json", false, "print a line of JSON for each")
	c.RunE = func(c *cobra.Command, _ []string) error {
		f, err := filter()
		if err != nil {
			return err
		}
		return follow(c.Context(), c.OutOrStdout(), socket(), &f, *asJSON)
	}
	return c
}

func follow(ctx context.Context, w io.Writer, from *api.Client, f *api.Filter, asJSON bool) error {
	return from.Follow(ctx, func(e *api.Event) error {
		switch {
		case !f.Event(e):
			return nil
		case asJSON:
			return printLine(w, e)
		}
		_, err := fmt.Fprintln(w, eventText(e))
		return err
	})
}

// eventText is an event in a line.
func eventText(e *api.Event) string {
	text := e.Time.Local().Format("15:04:05.000") + " " + shown(e.Kind)
	if e.Kind == "lost" {
		return fmt.Sprintf("%s %d events, because this reader is too slow", text, e.Lost)
	}
	if e.Client != nil && e.Server != nil {
		text += fmt.Sprintf(" %s > %s", e.Client, e.Server)
	}
	if e.User != "" {
		text += " " + shown(e.User)
	}
	switch {
	case e.Reason != "":
		text += fmt.Sprintf(" %s: %s", shown(e.Reason), shown(e.Line))
	case e.Data != nil:
		text += " " + dataText(e.Data)
	}
	if e.Was != e.Is {
		text += fmt.Sprintf(" %s became %s", shown(e.Was), shown(e.Is))
	}
	return text
}
