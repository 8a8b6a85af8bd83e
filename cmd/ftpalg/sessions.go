package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/api"
)

// watchEvery is how often --watch asks. The gateway does not answer anew more often.
const watchEvery = 2 * time.Second

func newSessions() *cobra.Command {
	c := &cobra.Command{
		Use:   "sessions",
		Short: "List the control connections of the running gateway, and their data connections",
		Long: `List who is connected, how far the session has come, and what came of the last data
connection that it asked for. It asks the running gateway on its Unix socket.`,
		Example: `  sudo ftpalg sessions --open
  sudo ftpalg sessions --client 10.0.13.0/24 --watch
  sudo ftpalg sessions --json | jq '.sessions[].user'`,
		Args: cobra.NoArgs,
	}
	socket, filter := addSocket(c), addFilter(c)
	asJSON := c.Flags().Bool("json", false, "print JSON")
	watch := c.Flags().Bool("watch", false, "print them again every 2 s")
	c.RunE = func(c *cobra.Command, _ []string) error {
		f, err := filter()
		if err != nil {
			return err
		}
		ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, unix.SIGTERM)
		defer stop()
		show := func() error { return showSessions(ctx, c.OutOrStdout(), socket(), &f, *asJSON) }
		if !*watch {
			return show()
		}
		return again(ctx, func() error {
			if !*asJSON {
				fmt.Fprint(c.OutOrStdout(), "\x1b[H\x1b[2J")
			}
			return show()
		})
	}
	return c
}

// again calls fn until it fails or ctx is done.
func again(ctx context.Context, fn func() error) error {
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	for {
		if err := fn(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

func showSessions(ctx context.Context, w io.Writer, from *api.Client, f *api.Filter, asJSON bool) error {
	var all api.Sessions
	if err := from.Get(ctx, "sessions", &all); err != nil {
		return err
	}
	all.Sessions = slices.DeleteFunc(all.Sessions, func(s api.Session) bool { return !f.Session(&s) })
	if asJSON {
		return printJSON(w, &all)
	}
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "CLIENT\tSERVER\tUSER\tSTATE\tLAST\tAGE\tIDLE\tDATA")
	for i := range all.Sessions {
		s := &all.Sessions[i]
		server := s.Dialled.String()
		if s.Server != s.Dialled {
			server += " (" + s.Server.String() + ")"
		}
		if s.Zone != 0 {
			server += fmt.Sprint(" zone ", s.Zone)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", s.Client, server, orNone(s.User), shown(s.State),
			orNone(s.Command), seconds(s.Age), seconds(s.Idle), dataText(s.Data))
	}
	return t.Flush()
}

func orNone(s string) string { return cmp.Or(shown(s), "-") }

// seconds is a time for people.
func seconds(s float64) string {
	d := time.Duration(s * float64(time.Second))
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// dataText is a data connection in a line.
func dataText(d *api.Data) string {
	if d == nil {
		return "-"
	}
	words := []string{shown(d.State), shown(d.Mode), d.Open.String()}
	if d.Left > 0 {
		words = append(words, seconds(d.Left)+" left")
	}
	if d.Command != "" {
		words = append(words, shown(d.Command), shown(d.File))
	}
	if d.Lasted > 0 {
		words = append(words, "for "+seconds(d.Lasted))
	}
	if d.Ending != "" {
		words = append(words, shown(d.Ending))
	}
	if d.Bytes != nil {
		words = append(words, fmt.Sprintf("%d bytes from client, %d from server, %.0f/s",
			d.Bytes[0], d.Bytes[1], d.Rate))
	}
	if d.Likely != "" {
		words = append(words, "- "+strings.TrimSuffix(shown(d.Likely), "."))
	}
	return strings.Join(slices.DeleteFunc(words, func(s string) bool { return s == "" }), " ")
}
