package peer

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/test/lab"
)

// Ask is one command after another on some control connections.
type Ask struct {
	Sessions int
	UnderWay int                                   // commands that each has under way
	For      time.Duration                         // how long, once all are logged in
	Command  func(b []byte, session, n int) []byte // appends the session's command number n
	Started  func()                                // called when all are logged in
}

// Answers are what came of it.
type Answers struct {
	N       int // commands that were answered well
	Refused int // and that were not
	Elapsed time.Duration
	Waited  []time.Duration // sorted; how long each took, if only one is under way
	Worst   time.Duration   // also of one that still waited at the end
}

// Rate is answers a second.
func (a Answers) Rate() float64 { return float64(a.N) / a.Elapsed.Seconds() }

// Quantile is how long the share q of the commands took at most.
func (a Answers) Quantile(q float64) time.Duration {
	if len(a.Waited) == 0 {
		return 0
	}
	return a.Waited[min(int(q*float64(len(a.Waited))), len(a.Waited)-1)]
}

// NOOP is the command that changes nothing.
func NOOP(b []byte, _, _ int) []byte { return append(b, "NOOP\r\n"...) }

// PORT names a port of the client, another one each time.
func PORT(client netip.Addr) func([]byte, int, int) []byte {
	return func(b []byte, session, n int) []byte {
		b = appendHostPort(append(b, "PORT "...), client, uint16(firstDataPort+2*(session%8000)+n%2))
		return append(b, "\r\n"...)
	}
}

// asking is one control connection of it.
type asking struct {
	*conn
	id, n int
	in    bool
	since time.Time
}

type asker struct {
	Ask
	loop     *loop
	answers  Answers
	begun    bool
	loggedIn int
	line     []byte
	err      error
}

// Run opens the control connections from the host and asks.
func (a Ask) Run(h *lab.Host, server netip.AddrPort) (Answers, error) {
	r := &asker{Ask: a}
	err := h.Do(func() (err error) {
		if r.loop, err = newLoop(); err != nil {
			return err
		}
		defer r.loop.close()
		return r.run(server)
	})
	slices.Sort(r.answers.Waited)
	if k := len(r.answers.Waited); k > 0 {
		r.answers.Worst = max(r.answers.Worst, r.answers.Waited[k-1])
	}
	return r.answers, err
}

func (r *asker) run(server netip.AddrPort) error {
	all := make([]*asking, r.Sessions)
	for i := range all {
		var err error
		if all[i], err = r.open(i, server); err != nil {
			return err
		}
	}
	for end := time.Now().Add(patience); r.loggedIn < r.Sessions && r.err == nil; {
		if time.Now().After(end) {
			return fmt.Errorf("%d of %d sessions are logged in after %v", r.loggedIn, r.Sessions, patience)
		}
		r.err = r.loop.wait(100)
	}
	if r.Started != nil {
		r.Started()
	}
	r.begun = true
	start := time.Now()
	for _, s := range all {
		for range r.UnderWay {
			r.ask(s)
		}
	}
	for end := start.Add(r.For); time.Now().Before(end) && r.err == nil; {
		r.err = r.loop.wait(int(time.Until(end).Milliseconds()) + 1)
	}
	r.answers.Elapsed = time.Since(start)
	if r.timed() && all[0].n > r.answers.N+r.answers.Refused {
		r.answers.Worst = time.Since(all[0].since)
	}
	return r.err
}

// timed tells whether it is known which answer belongs to which command.
func (r *asker) timed() bool { return r.Sessions == 1 && r.UnderWay == 1 }

func (r *asker) open(id int, server netip.AddrPort) (*asking, error) {
	fd, err := connect(server)
	if err != nil {
		return nil, err
	}
	c, err := r.loop.add(fd, unix.EPOLLIN)
	if err != nil {
		return nil, err
	}
	s := &asking{conn: c, id: id}
	c.ready = func() {
		if !c.lines(func(line []byte) { r.reply(s, line) }) {
			r.err = fmt.Errorf("session %d ended", id)
		}
	}
	return s, nil
}

func (r *asker) reply(s *asking, line []byte) {
	code, _, _ := cut(line)
	switch {
	case r.begun:
		r.count(s, line[0] == '2')
	case code == "220 ":
		s.say([]byte("USER u\r\n"))
	case code == "331 ":
		s.say([]byte("PASS p\r\n"))
	case code == "230 " && !s.in:
		s.in = true
		r.loggedIn++
	default:
		r.err = fmt.Errorf("session %d: the login was answered with %q", s.id, line)
	}
}

func (r *asker) count(s *asking, well bool) {
	if well {
		r.answers.N++
	} else {
		r.answers.Refused++
	}
	if r.timed() {
		r.answers.Waited = append(r.answers.Waited, time.Since(s.since))
	}
	r.ask(s)
}

func (r *asker) ask(s *asking) {
	if r.timed() {
		s.since = time.Now()
	}
	r.line = r.Command(r.line[:0], s.id, s.n)
	s.n++
	if !s.say(r.line) {
		r.err = fmt.Errorf("session %d takes no command", s.id)
	}
}
