package main

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/alg/dialogue"
	"github.com/ftpalg/ftpalg/alg/fate"
	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
)

func TestFateIsOneLine(t *testing.T) {
	one := fate.Fate{
		Mode: dialogue.PORT, Client: clientAddr, Server: serverAddr,
		Open:   netip.MustParseAddrPort("203.0.113.1:10120"),
		Target: netip.MustParseAddrPort("10.0.13.222:10120"), Waited: time.Second,
	}
	const common = `mode=port client=10.0.13.222:40000 server=10.0.1.66:21 open=203.0.113.1:10120 ` +
		`target=10.0.13.222:10120 waited=1s`
	for _, c := range []struct {
		change func(*fate.Fate)
		want   string
	}{
		{func(f *fate.Fate) {
			f.Outcome, f.Ending, f.Lasted, f.Counted = fate.Used, fate.Closed, time.Minute, true
			f.FromClient = conntrack.Counter{Packets: 1, Bytes: 2}
			f.FromServer = conntrack.Counter{Packets: 3, Bytes: 4}
		}, `level=INFO msg="data connection" outcome=used ` + common +
			` ended=closed lasted=1m0s client_bytes=2 server_bytes=4 client_packets=1 server_packets=3`},
		{func(f *fate.Fate) { f.Outcome, f.Why = fate.Withdrawn, policy.Superseded },
			`level=INFO msg="data connection" outcome=withdrawn ` + common + ` reason=superseded`},
		{func(f *fate.Fate) { f.Outcome, f.Why = fate.Expired, policy.Expired },
			`level=WARN msg="data connection" outcome=expired ` + common +
				` reason=expired likely="the server did not dial, `},
	} {
		f := one
		c.change(&f)
		var text bytes.Buffer
		j := newJournal(&text, false, slog.LevelInfo)
		j.fate(&f)
		j.flush()
		if _, line, _ := strings.Cut(text.String(), " "); !strings.HasPrefix(line, c.want) {
			t.Errorf("got %swant %s", line, c.want)
		}
	}
}

func TestFailuresAreLimitedToo(t *testing.T) {
	var text bytes.Buffer
	j := newJournal(&text, false, slog.LevelInfo)
	for range troubleRate + 5 {
		j.fate(&fate.Fate{Outcome: fate.Unanswered})
	}
	j.flush()
	if n := strings.Count(text.String(), "\n"); n != troubleRate || j.suppressed != 5 {
		t.Errorf("%d lines, %d suppressed", n, j.suppressed)
	}
}
