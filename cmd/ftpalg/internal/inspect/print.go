package inspect

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// event is a line of the report about a control connection.
type event struct {
	frame int
	text  string
}

// Print writes the report for people.
func (r Report) Print(w io.Writer) error {
	var b strings.Builder
	for _, c := range r.Controls {
		c.print(&b)
	}
	r.printSum(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (c *Control) print(b *strings.Builder) {
	fmt.Fprintf(b, "%s -> %s, frames %d to %d%s\n", c.Client, c.Server, c.First, c.Last, c.note())
	var events []event
	for _, ch := range c.Channels {
		events = append(events, event{ch.Frame, fmt.Sprintf("%s  opens %s for %s", strings.ToUpper(ch.Mode.String()), ch.Addr, ch.For)})
	}
	for _, r := range c.Refusals {
		events = append(events, event{r.Frame, fmt.Sprintf("refused, %s: %q", r.Reason, r.Line)})
	}
	slices.SortStableFunc(events, func(a, b event) int { return cmp.Compare(a.frame, b.frame) })
	for _, e := range events {
		fmt.Fprintf(b, "  frame %-6d %s\n", e.frame, e.text)
	}
	if len(events) == 0 {
		b.WriteString("  opens nothing\n")
	}
}

// note says what is special about the connection.
func (c *Control) note() string {
	var notes string
	if c.MidStream {
		notes += ", starts before the capture (taken as logged in)"
	}
	if c.TLS {
		notes += ", went over to TLS"
	}
	if c.NotFTP {
		notes += ", is not FTP"
	}
	return notes
}

func (r Report) printSum(b *strings.Builder) {
	channels, refusals := 0, 0
	for _, c := range r.Controls {
		channels += len(c.Channels)
		refusals += len(c.Refusals)
	}
	fmt.Fprintf(b, "%d control connections, %d data channels opened, %d refusals in %d frames\n",
		len(r.Controls), channels, refusals, r.Frames)
	if r.UnknownLink > 0 {
		fmt.Fprintf(b, "%d frames were left out: their link type is not known\n", r.UnknownLink)
	}
}
