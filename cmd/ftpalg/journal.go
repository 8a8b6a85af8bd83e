package main

import (
	"context"
	"io"
	"log/slog"
	"net/netip"

	"github.com/ftpalg/ftpalg/alg"
	"github.com/ftpalg/ftpalg/alg/fate"
	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/api"
)

// newLogger writes lines for people or for programs.
func newLogger(w io.Writer, json bool, level slog.Leveler) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if json {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// troubleRate is how many lines a second strangers can make us log.
const troubleRate = 10

// journal logs what the gateway does: each data channel, and refusals and errors as
// far as they are not too many.
type journal struct {
	log        *slog.Logger
	lines      *lineBuffer
	left       int // lines of trouble for this second
	suppressed int // lines not logged

	ended func(*fate.Fate) // hears of each fate too; nil: nobody
	hub   *api.Hub         // hears of all, however many
	names alg.Names        // of those that are in lines, what is shown
}

// newJournal returns a journal of one goroutine that writes to w, as newLogger does.
func newJournal(w io.Writer, json bool, level slog.Leveler) *journal {
	lines := &lineBuffer{w: w}
	return &journal{
		log: newLogger(lines, json, level), lines: lines, left: troubleRate, hub: &api.Hub{},
		names: allNames,
	}
}

// flush writes out what was logged.
func (j *journal) flush() { j.lines.flush() }

// quiet tells that the next tick has nothing to do.
func (j *journal) quiet() bool { return j.left == troubleRate && j.suppressed == 0 }

func (j *journal) opened(d alg.DataChannel) {
	if j.hub.Wanted() {
		j.hub.Publish(toldOpened(&d))
	}
	if !j.log.Enabled(context.Background(), slog.LevelInfo) {
		return
	}
	j.log.LogAttrs(context.Background(), slog.LevelInfo, "data channel", zoned(d.Zone,
		slog.String("mode", d.Mode.String()),
		slog.String("client", d.Client.String()), slog.String("server", d.Server.String()),
		slog.String("for", d.For.String()), slog.String("open", d.Open.String()),
		slog.String("target", d.Target.String()),
		slog.String("was", printable(d.Was)), slog.String("is", printable(d.Is)))...)
}

func (j *journal) adopted(client, server netip.AddrPort) {
	if j.mayLog() {
		j.log.Info("conntrack entry replaced", "client", client.String(), "server", server.String(),
			"why", "the control connection is older than the rules")
	}
}

func (j *journal) refused(r alg.Refusal) {
	wanted := j.hub.Wanted()
	mayLog := j.mayLog()
	if !wanted && !mayLog {
		return
	}
	line := printable(withoutNames(r.Line, j.names))
	if wanted {
		j.hub.Publish(toldRefused(&r, line))
	}
	if !mayLog {
		return
	}
	j.log.LogAttrs(context.Background(), slog.LevelWarn, "refused", zoned(r.Zone,
		slog.String("reason", r.Reason.String()),
		slog.String("client", r.Client.String()), slog.String("server", r.Server.String()),
		slog.String("line", line))...)
}

// zoned adds the conntrack zone, where addresses alone do not tell whose something is.
func zoned(zone uint16, attrs ...slog.Attr) []slog.Attr {
	if zone != 0 {
		attrs = append(attrs, slog.Int("zone", int(zone)))
	}
	return attrs
}

func (j *journal) kernelError(doing string, err error) {
	if j.mayLog() {
		j.log.Error("kernel error", "doing", doing, "error", err)
	}
}

func (j *journal) mayLog() bool {
	if j.left == 0 {
		j.suppressed++
		return false
	}
	j.left--
	return true
}

// tick begins another second.
func (j *journal) tick() {
	if j.suppressed > 0 {
		j.log.Warn("more refusals and errors than are logged", "suppressed", j.suppressed)
	}
	j.left, j.suppressed = troubleRate, 0
	j.flush()
}

// maxBuffered is how many bytes of lines may wait for the end of a round.
const maxBuffered = 32 << 10

// lineBuffer keeps lines until flush, so that those of a round are one system call.
type lineBuffer struct {
	w io.Writer
	b []byte
}

// Write is part of io.Writer; slog gives it whole lines.
func (l *lineBuffer) Write(line []byte) (int, error) {
	l.b = append(l.b, line...)
	if len(l.b) >= maxBuffered {
		l.flush()
	}
	return len(line), nil
}

func (l *lineBuffer) flush() {
	if len(l.b) == 0 {
		return
	}
	_, _ = l.w.Write(l.b) // there is no other place to complain
	l.b = l.b[:0]
}
