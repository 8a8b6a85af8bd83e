package main

import (
	"encoding/json"
	"net/netip"
	"time"

	"github.com/ftpalg/ftpalg/alg/replay"
)

// inspectVersion is the version of the objects of `inspect --json`. It changes when a field
// changes its meaning or goes, not when one is added.
const inspectVersion = 1

// inspectLine is one line of `inspect --json`; the help text tells which kind has which fields.
type inspectLine struct {
	Version int             `json:"version"`
	Kind    string          `json:"kind"`
	File    string          `json:"file"`
	Time    *time.Time      `json:"time,omitempty"`
	Frame   int             `json:"frame,omitempty"`
	Client  *netip.AddrPort `json:"client,omitempty"`
	Server  *netip.AddrPort `json:"server,omitempty"`
	Start   *time.Time      `json:"start,omitempty"`
	End     *time.Time      `json:"end,omitempty"`
	*channelFields
	*refusalFields
	*controlFields
	*sumFields
	Notes []string `json:"notes,omitempty"`
}

type channelFields struct {
	Mode     string         `json:"mode"`
	Asked    string         `json:"asked"`
	For      netip.Addr     `json:"for"`
	Open     netip.AddrPort `json:"open"`
	Target   netip.AddrPort `json:"target"`
	Was      string         `json:"was"`
	Is       string         `json:"is"`
	Reply    *replyFields   `json:"reply,omitempty"`
	Command  string         `json:"command,omitempty"`
	Transfer *replyFields   `json:"transfer,omitempty"`
	Shut     bool           `json:"shut,omitempty"`
	Data     *dataFields    `json:"data,omitempty"`
}

type replyFields struct {
	Frame int    `json:"frame"`
	Code  int    `json:"code"`
	Text  string `json:"text"`
}

type dataFields struct {
	Frame      int         `json:"frame,omitempty"`
	Seconds    float64     `json:"seconds"`
	FromClient int64       `json:"from_client"`
	FromServer int64       `json:"from_server"`
	Fate       replay.Fate `json:"fate"`
}

type refusalFields struct {
	Reason string `json:"reason"`
	Line   string `json:"line"`
}

type controlFields struct {
	Outside netip.AddrPort `json:"outside"`
	Inside  netip.AddrPort `json:"inside"`
	First   int            `json:"first"`
	Last    int            `json:"last"`
	Opened  int            `json:"opened"`
	Refused int            `json:"refused"`
}

type sumFields struct {
	Frames   int `json:"frames"`
	Controls int `json:"controls"`
	Channels int `json:"channels"`
	Refusals int `json:"refusals"`
}

// json returns what writes a line for everything that happens.
func (o *inspectOutput) json() replay.Observer {
	return replay.Observer{
		Opened: func(c *replay.Control, ch *replay.Channel) {
			o.writeJSON(inspectLine{Kind: "opened", channelFields: channelJSON(ch)}, c, ch.Frame, ch.Time)
		},
		Settled: func(c *replay.Control, ch *replay.Channel) {
			f, d := channelJSON(ch), ch.Data
			f.Reply, f.Transfer, f.Command, f.Shut = replyJSON(ch.Reply), replyJSON(ch.Transfer),
				printable([]byte(ch.Command)), ch.Shut
			f.Data = &dataFields{d.Frame, d.End.Sub(d.Start).Seconds(), d.FromClient, d.FromServer, d.Fate}
			o.writeJSON(inspectLine{Kind: "settled", channelFields: f}, c, ch.Frame, ch.Time)
		},
		Refused: func(c *replay.Control, r *replay.Refusal) {
			f := &refusalFields{r.Reason, printable(withoutNames(r.Line, allNames))}
			o.writeJSON(inspectLine{Kind: "refused", refusalFields: f}, c, r.Frame, r.Time)
		},
		Ended: func(c *replay.Control) {
			f := &controlFields{c.Outside, c.Inside, c.First, c.Last, c.Opened, c.Refused}
			o.writeJSON(inspectLine{Kind: "control", Start: utc(c.Start), End: utc(c.End), controlFields: f,
				Notes: controlNotes(c)}, c, 0, time.Time{})
		},
	}
}

func channelJSON(ch *replay.Channel) *channelFields {
	return &channelFields{
		Mode: ch.Mode, Asked: printable([]byte(ch.Asked)), For: ch.For, Open: ch.Open, Target: ch.Target,
		Was: printable([]byte(ch.Was)), Is: printable([]byte(ch.Is)),
	}
}

func replyJSON(r replay.Reply) *replyFields {
	if r.Code == 0 {
		return nil
	}
	return &replyFields{r.Frame, r.Code, printable([]byte(r.Text))}
}

func (o *inspectOutput) writeJSON(l inspectLine, c *replay.Control, frame int, at time.Time) {
	l.Version, l.File, l.Frame = inspectVersion, o.file, frame
	if c != nil {
		l.Client, l.Server = &c.Client, &c.Server
	}
	l.Time = utc(at)
	b, err := json.Marshal(l)
	if err != nil && o.err == nil {
		o.err = err
	}
	o.write(string(b) + "\n")
}

func (o *inspectOutput) sumJSON(s replay.Sum) {
	f := &sumFields{Frames: s.Frames, Controls: s.Controls, Channels: s.Channels, Refusals: s.Refusals}
	o.writeJSON(inspectLine{Kind: "sum", Start: utc(s.First), End: utc(s.Last), sumFields: f,
		Notes: sumNotes(s)}, nil, 0, time.Time{})
}

// utc returns nil for no time at all.
func utc(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
