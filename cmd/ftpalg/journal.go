package main

import (
	"context"
	"io"
	"log/slog"

	"github.com/ftpalg/ftpalg/alg"
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
	left       int // lines of trouble for this second
	suppressed int // lines not logged

	ended func(*alg.Fate) // hears of each fate too; nil: nobody
	hub   *api.Hub        // hears of all, however many
}

func newJournal(log *slog.Logger) *journal {
	return &journal{log: log, left: troubleRate, hub: &api.Hub{}}
}

func (j *journal) opened(d alg.DataChannel) {
	if j.hub.Wanted() {
		j.hub.Publish(toldOpened(&d))
	}
	j.log.LogAttrs(context.Background(), slog.LevelInfo, "data channel",
		slog.String("mode", d.Mode.String()),
		slog.String("client", d.Client.String()), slog.String("server", d.Server.String()),
		slog.String("for", d.For.String()),
		slog.String("open", d.Open.String()), slog.String("target", d.Target.String()),
		slog.String("was", printable(d.Was)), slog.String("is", printable(d.Is)))
}

func (j *journal) refused(r alg.Refusal) {
	if j.hub.Wanted() {
		j.hub.Publish(toldRefused(&r))
	}
	if !j.mayLog() {
		return
	}
	j.log.LogAttrs(context.Background(), slog.LevelWarn, "refused",
		slog.String("reason", r.Reason.String()),
		slog.String("client", r.Client.String()), slog.String("server", r.Server.String()),
		slog.String("line", printable(withoutSecret(r.Line))))
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
}
