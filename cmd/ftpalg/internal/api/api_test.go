package api

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// serve serves s on a socket of its own and returns the path.
func serve(t *testing.T, s Source) string {
	t.Helper()
	if s.Events == nil {
		s.Events = &Hub{}
	}
	path := filepath.Join(t.TempDir(), "s")
	l, groupErr, err := Listen(path, "")
	if err != nil || groupErr != nil {
		t.Fatal(err, groupErr)
	}
	server := NewServer(s)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return path
}

func says(err error, what string) bool { return err != nil && strings.Contains(err.Error(), what) }

func TestAnswersComeAsTheyWereGiven(t *testing.T) {
	session := Session{
		Client:  netip.MustParseAddrPort("10.0.0.1:4000"),
		Dialled: netip.MustParseAddrPort("[2001:db8::1]:21"),
		User:    `joe\x1b`, State: "clear", Data: &Data{Mode: "port", State: "used", Bytes: &[2]uint64{1, 2}},
	}
	path := serve(t, Source{
		Sessions: func(context.Context) (*Sessions, error) {
			return &Sessions{Version: 1, Sessions: []Session{session}}, nil
		},
		Status: func() *Status {
			return &Status{Version: 1, Health: Warning, Checks: []Check{{ID: "a", Level: Failing}}}
		},
	})
	var all Sessions
	if err := NewClient(path).Get(t.Context(), "sessions", &all); err != nil {
		t.Fatal(err)
	}
	got := all.Sessions[0]
	if got.User != session.User || got.Dialled != session.Dialled || *got.Data.Bytes != *session.Data.Bytes {
		t.Errorf("%+v", got)
	}
	var s Status
	err := NewClient(path).Get(t.Context(), "status", &s)
	if err != nil || s.Health != Warning || s.Checks[0].Level != Failing {
		t.Errorf("%+v, %v", s, err)
	}
	if err := NewClient(path).Get(t.Context(), "nothing", &s); !says(err, "404") {
		t.Error(err)
	}
	if err := NewClient(path+"x").Get(t.Context(), "status", &s); !says(err, "is ftpalg running") {
		t.Error(err)
	}
}

func TestSlowReaderMissesEventsAndIsToldHowMany(t *testing.T) {
	h := &Hub{}
	r := h.join()
	for range eventsKept + 5 {
		h.Publish(&Event{Kind: "opened"})
	}
	if n := r.lost.Load(); n != 5 {
		t.Errorf("%d are lost, want 5", n)
	}
	if h.leave(r); h.Wanted() {
		t.Error("events are wanted by nobody")
	}
	path := serve(t, Source{Events: h})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stop := make(chan struct{})
	go func() { // until somebody listens, and then more than fit
		defer close(stop)
		for ctx.Err() == nil {
			if h.Wanted() {
				h.Publish(&Event{Kind: "opened"})
			}
		}
	}()
	err := NewClient(path).Follow(ctx, func(e *Event) error {
		if e.Kind == "lost" && e.Lost > 0 {
			return io.EOF
		}
		return nil
	})
	cancel()
	if <-stop; !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

func TestOneClientTooManyIsClosed(t *testing.T) {
	path := serve(t, Source{})
	var all []net.Conn
	for range maxClients + 1 {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		all = append(all, c)
	}
	last := all[maxClients]
	if _, err := last.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("one more is not closed: %v", err)
	}
	_ = all[0].Close() // makes room
	for end := time.Now().Add(20 * time.Second); ; {
		var s Status
		err := NewClient(path).Get(t.Context(), "nothing", &s)
		if strings.Contains(err.Error(), "404") {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

func TestSocketOfAKilledProgramIsReplacedAndNothingElse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if _, _, err := Listen(path, ""); !says(err, "another program listens") {
		t.Errorf("a socket in use: %v", err)
	}
	_ = l.Close()
	again, _, err := Listen(path, "")
	if err != nil {
		t.Fatalf("a socket that nobody listens on: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	_ = again.Close()
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Listen(path, ""); !says(err, "is no socket") {
		t.Errorf("a file: %v", err)
	}
	if text, _ := os.ReadFile(path); string(text) != "mine" {
		t.Error("the file is gone")
	}
}

func TestGroupThatIsNotThereIsNoReasonNotToListen(t *testing.T) {
	l, groupErr, err := Listen(filepath.Join(t.TempDir(), "s"), "nosuchgroup")
	if err != nil || groupErr == nil {
		t.Fatal(err, groupErr)
	}
	_ = l.Close()
}

func TestFilterChooses(t *testing.T) {
	client, server := netip.MustParseAddrPort("10.0.0.1:4000"), netip.MustParseAddrPort("192.0.2.1:21")
	s := Session{Client: client, Server: server, User: "joe", Data: &Data{State: "open"}}
	s.Dialled = netip.MustParseAddrPort("198.51.100.1:21")
	e := Event{Kind: "refused", Client: &client, Server: &server, User: "joe"}
	for _, c := range []struct {
		f              Filter
		session, event bool
	}{
		{Filter{}, true, true},
		{Filter{Client: netip.MustParsePrefix("10.0.0.0/8"), User: "joe"}, true, true},
		{Filter{Client: netip.MustParsePrefix("11.0.0.0/8")}, false, false},
		{Filter{Server: netip.MustParsePrefix("192.0.2.1/32")}, true, true},
		{Filter{Server: netip.MustParsePrefix("198.51.100.0/24")}, true, false},
		{Filter{User: "joey"}, false, false},
		{Filter{Open: true}, true, false},
	} {
		if got := c.f.Session(&s); got != c.session {
			t.Errorf("%+v: session %v", c.f, got)
		}
		if got := c.f.Event(&e); got != c.event {
			t.Errorf("%+v: event %v", c.f, got)
		}
	}
}
