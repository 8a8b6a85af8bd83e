package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/ftpalg/ftpalg/alg"
	"github.com/ftpalg/ftpalg/alg/dialogue"
	"github.com/ftpalg/ftpalg/alg/fate"
	"github.com/ftpalg/ftpalg/alg/policy"
)

var someChannel = alg.DataChannel{
	Mode: dialogue.PORT, Client: clientAddr, Server: serverAddr, For: serverAddr.Addr(),
	Open:   netip.MustParseAddrPort("203.0.113.1:10120"),
	Target: netip.MustParseAddrPort("10.0.13.222:10120"),
	Was:    []byte("10,0,13,222,39,136"), Is: []byte("203,0,113,1,39,136"),
}

func TestDataChannelIsOneLine(t *testing.T) {
	var text bytes.Buffer
	j := newJournal(&text, false, slog.LevelInfo)
	j.opened(someChannel)
	j.flush()
	const want = `level=INFO msg="data channel" mode=port client=10.0.13.222:40000 server=10.0.1.66:21 ` +
		`for=10.0.1.66 open=203.0.113.1:10120 target=10.0.13.222:10120 ` +
		`was=10,0,13,222,39,136 is=203,0,113,1,39,136` + "\n"
	if _, line, _ := strings.Cut(text.String(), " "); line != want {
		t.Errorf("got %swant %s", line, want)
	}
	text.Reset()
	j = newJournal(&text, true, slog.LevelInfo)
	j.opened(someChannel)
	j.flush()
	var fields map[string]string
	err := json.Unmarshal(text.Bytes(), &fields)
	if err != nil || fields["open"] != "203.0.113.1:10120" || fields["mode"] != "port" {
		t.Errorf("%v, %s", err, &text)
	}
}

func TestDataChannelThatIsNotLoggedCostsNothing(t *testing.T) {
	j := newJournal(io.Discard, false, slog.LevelWarn)
	f := fate.Fate{Mode: dialogue.PORT, Client: clientAddr, Server: serverAddr, Open: someChannel.Open,
		Target: someChannel.Target}
	if n := testing.AllocsPerRun(100, func() { j.opened(someChannel); j.fate(&f) }); n > 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func TestRefusalsAreLimitedAndTheRestIsCounted(t *testing.T) {
	var text bytes.Buffer
	j := newJournal(&text, false, slog.LevelInfo)
	for range troubleRate + 5 {
		j.refused(alg.Refusal{
			Client: clientAddr, Server: serverAddr, Reason: policy.LowPort,
			Line: []byte("PORT 1,2,3,4,0,21\r\n"),
		})
	}
	j.kernelError("do it", errors.New("no"))
	j.flush()
	if n := strings.Count(text.String(), "level=WARN msg=refused reason=low_port"); n != troubleRate {
		t.Errorf("%d lines, want %d", n, troubleRate)
	}
	j.tick()
	if !strings.Contains(text.String(), "suppressed=6") {
		t.Error(text.String())
	}
	text.Reset()
	j.tick()
	if text.Len() != 0 {
		t.Errorf("a quiet second logged %s", &text)
	}
	j.kernelError("do it", errors.New("no"))
	j.flush()
	if !strings.Contains(text.String(), `doing="do it" error=no`) {
		t.Error(text.String())
	}
}

func TestStrangersBytesCannotSpoilTheLog(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"PORT 1,2,3,4,5,6\r\n", "PORT 1,2,3,4,5,6"},
		{"a\x00\x1b[31m\xff\u202e\n", `a\x00\x1b[31m\xff\u202e`},
		{"x\nlevel=ERROR msg=fake\n", `x\nlevel=ERROR msg=fake`},
		{strings.Repeat("A", 1000), strings.Repeat("A", maxLogged) + "..."},
		{"", ""},
	} {
		if got := printable([]byte(c.line)); got != c.want {
			t.Errorf("%q: got %s, want %s", c.line, got, c.want)
		}
	}
}

func TestPasswordsAreNotLogged(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"PASS secret\r\n", "PASS ***"},
		{"pass  secret", "pass ***"},
		{"\xff\xf4PASS secret\n", "\xff\xf4PASS ***"},
		{"ACCT secret", "ACCT ***"},
		{"USER me\r\n", "USER me\r\n"},
		{"PASV\r\n", "PASV\r\n"},
	} {
		if got := string(withoutNames([]byte(c.line), allNames)); got != c.want {
			t.Errorf("%q: got %q, want %q", c.line, got, c.want)
		}
	}
}

func TestNamesAreLeftOutOfLinesIfTheyAreNotToBeShown(t *testing.T) {
	for _, c := range []struct {
		line string
		show alg.Names
		want string
	}{
		{"USER me\r\n", alg.Names{Files: true}, "USER ***"},
		{"USER me\r\n", alg.Names{Users: true}, "USER me\r\n"},
		{"RETR a b\r\n", alg.Names{Users: true}, "RETR ***"},
		{"SITE CHMOD 1 a\r\n", alg.Names{}, "SITE ***"},
		{"230 me is in\r\n", alg.Names{Files: true}, "230 ***"},
		{"GET /me HTTP/1.1\r\n", alg.Names{}, "GET ***"},
		{"PORT 1,2,3,4,5,6\r\n", alg.Names{}, "PORT 1,2,3,4,5,6\r\n"},
		{"227 ok (1,2,3,4,5,6)\r\n", alg.Names{}, "227 ok (1,2,3,4,5,6)\r\n"},
		{"PASS secret\r\n", allNames, "PASS ***"},
	} {
		if got := string(withoutNames([]byte(c.line), c.show)); got != c.want {
			t.Errorf("%q with %+v: got %q, want %q", c.line, c.show, got, c.want)
		}
	}
}

func TestRefusalsInTheLogAndOnTheSocketLeaveOutNames(t *testing.T) {
	var text bytes.Buffer
	j := newJournal(&text, false, slog.LevelInfo)
	j.names = alg.Names{}
	j.refused(alg.Refusal{
		Client: clientAddr, Server: serverAddr, Reason: policy.ReadOnly, Line: []byte("STOR secret\r\n"),
	})
	j.flush()
	if got := text.String(); strings.Contains(got, "secret") || !strings.Contains(got, "STOR ***") {
		t.Error(got)
	}
}
