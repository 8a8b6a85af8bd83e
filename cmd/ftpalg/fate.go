package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/ftpalg/ftpalg/alg/fate"
	"github.com/ftpalg/ftpalg/alg/policy"
)

// fate logs what came of a data channel: a warning if a transfer is likely to have failed for it.
func (j *journal) fate(f *fate.Fate) {
	if j.ended != nil {
		j.ended(f)
	}
	if j.hub.Wanted() {
		j.hub.Publish(toldEnded(f))
	}
	level := slog.LevelInfo
	if f.Outcome.Failed() {
		if !j.mayLog() {
			return
		}
		level = slog.LevelWarn
	}
	if !j.log.Enabled(context.Background(), level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("outcome", f.Outcome.String()), slog.String("mode", f.Mode.String()),
		slog.String("client", f.Client.String()), slog.String("server", f.Server.String()),
		slog.String("open", f.Open.String()), slog.String("target", f.Target.String()),
		slog.Duration("waited", f.Waited.Round(time.Microsecond)),
	}
	if f.Why != policy.None {
		attrs = append(attrs, slog.String("reason", f.Why.String()))
	}
	if f.Ending != fate.NoEnding {
		attrs = append(attrs, slog.String("ended", f.Ending.String()),
			slog.Duration("lasted", f.Lasted.Round(time.Microsecond)))
	}
	if f.Counted {
		attrs = append(attrs,
			slog.Uint64("client_bytes", f.FromClient.Bytes), slog.Uint64("server_bytes", f.FromServer.Bytes),
			slog.Uint64("client_packets", f.FromClient.Packets),
			slog.Uint64("server_packets", f.FromServer.Packets))
	}
	if likely := f.Outcome.Likely(f.Mode); likely != "" {
		attrs = append(attrs, slog.String("likely", likely))
	}
	j.log.LogAttrs(context.Background(), level, "data connection", zoned(f.Zone, attrs...)...)
}
