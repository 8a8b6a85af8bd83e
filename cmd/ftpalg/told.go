package main

import (
	"net/netip"
	"time"

	"github.com/ftpalg/ftpalg/alg"
	"github.com/ftpalg/ftpalg/alg/fate"
	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/api"
)

// What the gateway knows, as it is told on the socket: strangers' bytes made printable.

func toldSession(s *alg.Session, now time.Time) api.Session {
	t := api.Session{
		Client: s.Client, Dialled: s.Dialled, Server: s.Server, Zone: s.Zone,
		User: printable([]byte(s.User)), State: s.State.String(), Command: printable([]byte(s.Command)),
		Offset: s.Offset, Age: now.Sub(s.Since).Seconds(), Idle: now.Sub(s.Seen).Seconds(),
	}
	if d := s.Data; d != nil {
		t.Data = toldFate(&d.Fate)
		t.Data.Command, t.Data.File = printable([]byte(d.Command)), printable([]byte(d.File))
		t.Data.Reply = d.Code
		switch {
		case d.Open:
			t.Data.State, t.Data.Left = "open", d.Left.Seconds()
		case d.Flowing:
			t.Data.State = "flowing"
		case !d.Ended:
			t.Data.State = "closing"
		}
	}
	return t
}

func toldFate(f *fate.Fate) *api.Data {
	t := &api.Data{
		Mode: f.Mode.String(), Open: f.Open, Target: f.Target, State: f.Outcome.String(),
		Likely: f.Outcome.Likely(f.Mode), Waited: f.Waited.Seconds(), Lasted: f.Lasted.Seconds(),
	}
	if f.Why != policy.None {
		t.Reason = f.Why.String()
	}
	if f.Ending != fate.NoEnding {
		t.Ending = f.Ending.String()
	}
	if f.Counted {
		t.Bytes = &[2]uint64{f.FromClient.Bytes, f.FromServer.Bytes}
		if f.Lasted > 0 {
			t.Rate = float64(f.FromClient.Bytes+f.FromServer.Bytes) / f.Lasted.Seconds()
		}
	}
	return t
}

func event(kind string, client, server netip.AddrPort, zone uint16) *api.Event {
	return &api.Event{
		Version: api.Version, Time: time.Now(), Kind: kind, Client: &client, Server: &server, Zone: zone,
	}
}

func toldOpened(d *alg.DataChannel) *api.Event {
	e := event("opened", d.Client, d.Server, d.Zone)
	e.User, e.Was, e.Is = printable([]byte(d.User)), printable(d.Was), printable(d.Is)
	e.Data = &api.Data{Mode: d.Mode.String(), Open: d.Open, Target: d.Target, State: "open"}
	return e
}

func toldRefused(r *alg.Refusal, line string) *api.Event {
	e := event("refused", r.Client, r.Server, r.Zone)
	e.User, e.Reason, e.Line = printable([]byte(r.User)), r.Reason.String(), line
	return e
}

func toldEnded(f *fate.Fate) *api.Event {
	e := event("ended", f.Client, f.Server, f.Zone)
	e.User, e.Data = printable([]byte(f.User)), toldFate(f)
	return e
}
