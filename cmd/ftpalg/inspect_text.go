package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ftpalg/ftpalg/alg/replay"
)

const (
	clock = "15:04:05"
	day   = "2006-01-02 15:04:05"
)

// inspectOutput writes what a replay finds.
type inspectOutput struct {
	w    io.Writer
	file string // printable
	live bool   // each line as it happens, not in order of connections
	err  error  // the first of writing
}

func (o *inspectOutput) write(text string) {
	if o.err == nil {
		_, o.err = io.WriteString(o.w, text)
	}
}

// people returns what prints for people: a table for each control connection when it ends, or live lines.
func (o *inspectOutput) people() replay.Observer {
	if !o.live {
		return replay.Observer{Ended: func(c *replay.Control) { o.write(controlTable(c)) }}
	}
	line := func(at time.Time, frame int, c *replay.Control, what string) {
		o.write(fmt.Sprintf("%s  frame %-6d %s -> %s  %s\n", at.UTC().Format(clock), frame, c.Client,
			c.Server, what))
	}
	return replay.Observer{
		Opened: func(c *replay.Control, ch *replay.Channel) { line(ch.Time, ch.Frame, c, openedText(ch)) },
		Refused: func(c *replay.Control, r *replay.Refusal) {
			line(r.Time, r.Frame, c, refusedText(r))
		},
		Settled: func(c *replay.Control, ch *replay.Channel) { line(ch.Time, ch.Frame, c, outcomeText(ch)) },
		Ended: func(c *replay.Control) {
			if n := controlNotes(c); len(n) > 0 {
				line(c.End, c.Last, c, strings.Join(n, "; "))
			}
		},
	}
}

// controlTable is a control connection with a row for each channel and each refusal.
func controlTable(c *replay.Control) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s -> %s, %s, frames %d to %d\n", c.Client, c.Server, c.Start.UTC().Format(day),
		c.First, c.Last)
	for _, n := range controlNotes(c) {
		fmt.Fprintf(&b, "  note: %s\n", n)
	}
	type row struct {
		frame int
		text  string
	}
	var rows []row
	add := func(frame int, at time.Time, what string) {
		rows = append(rows, row{frame, fmt.Sprintf("  %s  frame %-6d %s\n", at.UTC().Format(clock), frame,
			what)})
	}
	for _, ch := range c.Channels {
		add(ch.Frame, ch.Time, openedText(ch)+"\n"+strings.Repeat(" ", 25)+outcomeText(ch))
	}
	for _, r := range c.Refusals {
		add(r.Frame, r.Time, refusedText(r))
	}
	slices.SortStableFunc(rows, func(a, b row) int { return cmp.Compare(a.frame, b.frame) })
	for _, r := range rows {
		b.WriteString(r.text)
	}
	if len(rows) == 0 {
		b.WriteString("  opens nothing\n")
	}
	if c.Unlisted > 0 {
		fmt.Fprintf(&b, "  and %d more, which --json lists\n", c.Unlisted)
	}
	return b.String()
}

func openedText(ch *replay.Channel) string {
	asked := cmp.Or(printable([]byte(ch.Asked)), strings.ToUpper(ch.Mode))
	text := fmt.Sprintf("%-28s opens %s for %s", asked, ch.Open, ch.For)
	if ch.Open != ch.Target {
		text += ", led to " + ch.Target.String()
	}
	if ch.Was != ch.Is {
		text += fmt.Sprintf("; %s becomes %s", printable([]byte(ch.Was)), printable([]byte(ch.Is)))
	}
	return text
}

func refusedText(r *replay.Refusal) string {
	return fmt.Sprintf("%-28s refused, %s", printable(withoutNames(r.Line, allNames)), r.Reason)
}

// outcomeText tells what the capture has of a channel after it was opened.
func outcomeText(ch *replay.Channel) string {
	var parts []string
	if ch.Reply.Code != 0 {
		parts = append(parts, "reply "+printable([]byte(ch.Reply.Text)))
	}
	if ch.Command != "" {
		said := "no reply in the capture"
		if ch.Transfer.Code != 0 {
			said = printable([]byte(ch.Transfer.Text))
		}
		parts = append(parts, printable([]byte(ch.Command))+": "+said)
	}
	d := ch.Data
	took := d.End.Sub(d.Start).Round(time.Millisecond)
	switch d.Fate {
	case replay.NotSeen:
		parts = append(parts, "data connection not in the capture")
	case replay.Unanswered, replay.Rejected:
		parts = append(parts, fmt.Sprintf("data connection in frame %d %s", d.Frame, fates[d.Fate]))
	default:
		parts = append(parts, fmt.Sprintf("data from frame %d: %d bytes to the server, "+
			"%d to the client in %v, %s",
			d.Frame, d.FromClient, d.FromServer, took, fates[d.Fate]))
	}
	if ch.Shut {
		parts = append(parts, "shut again unused")
	}
	return strings.Join(parts, "; ")
}

var fates = map[replay.Fate]string{
	replay.Unanswered: "was not answered", replay.Rejected: "was rejected",
	replay.Open:   "open at the end of the capture",
	replay.Closed: "closed", replay.Reset: "reset",
}

// controlNotes says what is special about a connection.
func controlNotes(c *replay.Control) []string {
	var notes []string
	note := func(is bool, format string, args ...any) {
		if is {
			notes = append(notes, fmt.Sprintf(format, args...))
		}
	}
	note(c.MidStream, "starts before the capture (taken as logged in)")
	note(c.TLS, "went over to TLS: what follows cannot be read, and opens nothing")
	note(c.NotFTP, "is not FTP")
	note(c.BothSides, "both sides of a NAT are in the capture")
	note(c.Outside != c.Client, "the server sees the client as %s", c.Outside)
	note(c.Inside != c.Server, "the server is %s", c.Inside)
	note(c.Packets[0] == 0, "only the server's side is in the capture")
	note(c.Packets[1] == 0, "only the client's side is in the capture: "+
		"a login that the server accepted would not be seen")
	note(c.Cut > 0, "%d frames are cut short: capture with -s 0", c.Cut)
	note(c.Gaps[0] > 0, "bytes of the client are missing in %d places", c.Gaps[0])
	note(c.Gaps[1] > 0, "bytes of the server are missing in %d places", c.Gaps[1])
	note(len(c.VLANs) > 0, "VLAN %s", strings.Join(c.VLANs, ", "))
	note(c.Forgotten, "told before its end, to make room for others")
	return notes
}

// sumNotes says what is special about a capture.
func sumNotes(s replay.Sum) []string {
	var notes []string
	if s.UnknownLink > 0 {
		notes = append(notes, fmt.Sprintf("%d frames were left out: their link type is not known",
			s.UnknownLink))
	}
	if s.Cut > 0 {
		notes = append(notes, fmt.Sprintf("%d frames are cut short (snaplen)", s.Cut))
	}
	if s.NotTold > 0 {
		notes = append(notes, fmt.Sprintf("%d other connections to these ports speak no FTP", s.NotTold))
	}
	if s.Forgotten > 0 {
		notes = append(notes, fmt.Sprintf("%d control connections were told before their end, "+
			"to make room for others", s.Forgotten))
	}
	for _, p := range s.Elsewhere {
		notes = append(notes, fmt.Sprintf("port %d looks like FTP: --ports %d", p, p))
	}
	return notes
}

func (o *inspectOutput) sum(s replay.Sum) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d control connections, %d data channels opened, %d refusals in %d frames",
		o.file, s.Controls, s.Channels, s.Refusals, s.Frames)
	if s.Frames > 0 {
		fmt.Fprintf(&b, ", %s to %s UTC", s.First.UTC().Format(day), s.Last.UTC().Format(day))
	}
	b.WriteByte('\n')
	for _, n := range sumNotes(s) {
		fmt.Fprintf(&b, "  note: %s\n", n)
	}
	o.write(b.String())
}
