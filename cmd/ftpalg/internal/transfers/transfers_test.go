package transfers

import (
	"bufio"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/alg"
	"github.com/ftpalg/ftpalg/alg/dialogue"
	"github.com/ftpalg/ftpalg/alg/fate"
	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
)

func example() *alg.Transfer {
	d := &alg.Data{Ended: true}
	d.Mode, d.Outcome, d.Ending = dialogue.PASV, fate.Used, fate.Closed
	d.Fate.Open = netip.MustParseAddrPort("203.0.113.66:4000")
	d.Target = netip.MustParseAddrPort("10.0.1.66:4000")
	d.Waited, d.Lasted = 5*time.Millisecond, 2*time.Second
	d.Counted, d.FromServer = true, conntrack.Counter{Bytes: 1000}
	return &alg.Transfer{
		Session: 7, Client: netip.MustParseAddrPort("128.232.110.120:34855"),
		Dialled: netip.MustParseAddrPort("66.35.250.204:80"),
		Server:  netip.MustParseAddrPort("10.0.1.66:21"), Began: time.Unix(1e9, 0).UTC(), Took: time.Second,
		User: "joe\x1b[31m", Command: "RETR", Argument: "grün <&>\u202e\xff\\\x07", Directory: "/a",
		Code: 226, Text: "done\r", Data: d,
	}
}

func TestLineHasAllThatIsKnownAndNothingThatATerminalShouldNotSee(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l := open(t, path)
	l.Put(example())
	must(t, l.Close())
	text := read(t, path)
	if strings.Count(text, "\n") != 1 || strings.ContainsFunc(text, func(r rune) bool {
		return r < ' ' && r != '\n' || r == 0x7f || r == '\u202e'
	}) {
		t.Errorf("%q", text)
	}
	var got map[string]any
	must(t, json.Unmarshal([]byte(text), &got))
	want := map[string]any{
		"ts": "2001-09-09T01:46:40Z", "uid": got["uid"], "community_id": "1:LQU9qZlK+B5F3KDmev6m5PMibrg=",
		"client": "128.232.110.120:34855", "dialled": "66.35.250.204:80", "server": "10.0.1.66:21",
		"user": `joe\x1b[31m`, "command": "RETR", "arg": `grün <&>\u202e\xff\\\a`, "cwd": "/a",
		"reply_code": 226., "reply_msg": `done\r`, "duration": 1.,
		"data_channel": map[string]any{
			"mode": "pasv", "passive": true, "open": "203.0.113.66:4000", "target": "10.0.1.66:4000",
			"outcome": "used", "ending": "closed", "waited": 0.005, "duration": 2.,
			"client_bytes": 0., "server_bytes": 1000.,
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%v, want\n%v", got, want)
	}
}

func TestLineOfARefusedTransferSaysWhy(t *testing.T) {
	l := lineOf(&alg.Transfer{Command: "STOR", Refused: policy.ReadOnly})
	if l.Refused != "read_only" || l.Data != nil {
		t.Errorf("%+v", l)
	}
}

func TestSessionsHaveNumbersOfTheirOwn(t *testing.T) {
	a, b, c := example(), example(), example()
	b.Session++
	c.Client = c.Server
	if uid(a) != uid(example()) || uid(a) == uid(b) || uid(a) == uid(c) {
		t.Error(uid(a), uid(b), uid(c))
	}
}

func TestLogGoesOnInANewFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l := open(t, path)
	l.Put(example())
	written(t, l, 1)
	must(t, os.Rename(path, path+".1"))
	must(t, l.Reopen())
	l.Put(example())
	must(t, l.Close())
	if a, b := read(t, path+".1"), read(t, path); strings.Count(a, "\n") != 1 || a != b {
		t.Errorf("%q and %q", a, b)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o007 != 0 {
		t.Errorf("everybody may read it: %v, %v", info, err)
	}
}

func TestFileThatCannotBeMadeIsSaid(t *testing.T) {
	for _, path := range []string{filepath.Join(t.TempDir(), "none", "log"), t.TempDir(), "/dev/null"} {
		if _, err := Open(path, nil); err == nil || !strings.Contains(err.Error(), "log.transfers") {
			t.Errorf("%s: %v", path, err)
		}
	}
	fifo := filepath.Join(t.TempDir(), "fifo")
	must(t, unix.Mkfifo(fifo, 0o600))
	if _, err := Open(fifo, nil); err == nil {
		t.Error("a pipe without a reader is taken for a file")
	}
}

// stuck is a writer that writes nothing until it may.
type stuck struct{ may chan struct{} }

func (s stuck) Write(b []byte) (int, error) { <-s.may; return len(b), nil }

func TestPuttingNeverWaitsAndWhatIsLostIsCounted(t *testing.T) {
	s := stuck{make(chan struct{})}
	l := &Log{out: s, waiting: make(chan *alg.Transfer, 4), done: make(chan struct{})}
	go l.run()
	x := example()
	for range 1000 { // a writer holds one block at most, of less than a thousand lines
		l.Put(x)
	}
	if l.Lost.Load() == 0 {
		t.Error("nothing is lost")
	}
	close(s.may)
	must(t, l.Close())
	if n := l.Written.Load() + l.Lost.Load(); n != 1000 {
		t.Errorf("%d of 1000 are counted", n)
	}
}

func TestLogThatNobodyReadsDoesNotKeepTheProgramFromEnding(t *testing.T) {
	s := stuck{make(chan struct{})}
	defer close(s.may)
	l := &Log{out: s, waiting: make(chan *alg.Transfer, 4), done: make(chan struct{})}
	go l.run()
	l.Put(example())
	if err := l.Close(); err == nil {
		t.Error("it says that all is written")
	}
}

// full writes a few bytes and fails, as often as it is told.
type full struct {
	mu   sync.Mutex
	text strings.Builder
	left int
}

func (f *full) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left > 0 {
		f.left--
		n, _ := f.text.Write(b[:9])
		return n, errors.New("disk full")
	}
	return f.text.Write(b)
}

func TestFailureIsSaidOnceAndTheNextLineIsWhole(t *testing.T) {
	f := &full{left: 3}
	said := make(chan error, 10)
	l := &Log{
		out: f, failed: func(err error) { said <- err },
		waiting: make(chan *alg.Transfer, 9), done: make(chan struct{}),
	}
	go l.run()
	for l.Lost.Load() < 3 {
		lost := l.Lost.Load()
		l.Put(example())
		for l.Lost.Load() == lost {
			time.Sleep(time.Millisecond)
		}
	}
	l.Put(example())
	must(t, l.Close())
	if len(said) != 1 || l.Written.Load() != 1 {
		t.Errorf("said %d times, %d written", len(said), l.Written.Load())
	}
	var last string
	for s := bufio.NewScanner(strings.NewReader(f.text.String())); s.Scan(); {
		last = s.Text()
	}
	if !json.Valid([]byte(last)) {
		t.Errorf("the last line is %q", last)
	}
}

func open(t *testing.T, path string) *Log {
	t.Helper()
	l, err := Open(path, func(err error) { t.Error(err) })
	must(t, err)
	return l
}

// written waits until so many lines are in the file.
func written(t *testing.T, l *Log, n uint64) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); l.Written.Load() < n; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d are written", l.Written.Load())
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return string(b)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
