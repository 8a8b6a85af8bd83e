package peer

import (
	"bytes"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/test/lab"
)

// Sessions are whole FTP sessions: login, PASV or PORT by turns, the file, QUIT.
type Sessions struct {
	AtOnce int
	For    time.Duration
	Short  bool // QUIT follows the greeting
}

// Done is what came of them.
type Done struct {
	N       int // that went as they should
	Failed  int
	Why     string // of the first that failed
	Elapsed time.Duration
}

// Rate is sessions a second.
func (d Done) Rate() float64 { return float64(d.N) / d.Elapsed.Seconds() }

type visitor struct {
	loop   *loop
	host   netip.Addr
	server netip.AddrPort
	short  bool
	ports  dataPorts
	visits map[*visit]struct{}
	begun  int
	done   Done
	buf    [16 << 10]byte // what comes is not looked at
}

// visit is one session.
type visit struct {
	*visitor
	control  *conn
	data     *conn // listens, after PORT, until the server connects
	passive  bool
	got      int // bytes of the file
	complete bool
	saidQuit bool
}

// Run has AtOnce sessions from the host at any time.
func (s Sessions) Run(h *lab.Host, server netip.AddrPort) (Done, error) {
	v := &visitor{host: h.Addr(false), server: server, short: s.Short, visits: map[*visit]struct{}{}}
	err := h.Do(func() (err error) {
		if v.loop, err = newLoop(); err != nil {
			return err
		}
		defer v.loop.close()
		return v.run(s)
	})
	return v.done, err
}

func (v *visitor) run(s Sessions) error {
	start := time.Now()
	end := start.Add(s.For)
	for now := start; now.Before(end); now = time.Now() {
		for len(v.visits) < s.AtOnce {
			if err := v.begin(); err != nil {
				return err
			}
		}
		if err := v.loop.wait(50); err != nil {
			return err
		}
	}
	v.done.Elapsed = time.Since(start)
	return v.finish()
}

// finish lets the sessions that are under way end, without counting them. What hangs has failed.
func (v *visitor) finish() error {
	n := v.done.N
	for end := time.Now().Add(hangs); len(v.visits) > 0 && time.Now().Before(end); {
		if err := v.loop.wait(50); err != nil {
			return err
		}
	}
	for s := range v.visits {
		s.fail("it hangs")
	}
	v.done.N = n
	return nil
}

// hangs is how long a session may take at the end.
const hangs = 2 * time.Second

func (v *visitor) begin() error {
	fd, err := connect(v.server)
	if err != nil {
		return err
	}
	c, err := v.loop.add(fd, unix.EPOLLIN)
	if err != nil {
		return err
	}
	v.begun++
	s := &visit{visitor: v, control: c, passive: v.begun%2 == 0}
	v.visits[s] = struct{}{}
	c.ready = func() {
		if !c.lines(s.reply) && c.fd >= 0 {
			s.fail("the control connection ended early")
		}
	}
	return nil
}

func (s *visit) close() {
	s.loop.remove(s.control)
	s.loop.remove(s.data)
	delete(s.visits, s)
}

func (s *visit) fail(why string) {
	if s.done.Failed++; s.done.Failed == 1 {
		s.done.Why = why
	}
	s.close()
}

func (s *visit) reply(line []byte) {
	code, rest, _ := cut(line)
	switch code {
	case "220 ":
		if s.short {
			s.control.say([]byte("QUIT\r\n"))
			return
		}
		s.control.say([]byte("USER u\r\n"))
	case "331 ":
		s.control.say([]byte("PASS p\r\n"))
	case "230 ":
		s.askForData()
	case "227 ":
		s.dial(rest)
	case "200 ":
		s.control.say([]byte("RETR f\r\n"))
	case "150 ":
	case "226 ":
		s.complete = true
		s.quit()
	case "221 ":
		s.done.N++
		s.close()
	default:
		s.fail(fmt.Sprintf("a reply is %q", line))
	}
}

func (s *visit) askForData() {
	if s.passive {
		s.control.say([]byte("PASV\r\n"))
		return
	}
	fd, port, err := s.ports.listen(s.host)
	if err == nil {
		s.data, err = s.loop.add(fd, unix.EPOLLIN)
	}
	if err != nil {
		s.fail(err.Error())
		return
	}
	s.data.ready = func() {
		fd, err := accept(s.data.fd)
		if err != nil {
			return
		}
		s.loop.remove(s.data)
		s.receive(fd)
	}
	s.control.say(append(appendHostPort([]byte("PORT "), s.host, port), "\r\n"...))
}

// dial connects to what a 227 reply names.
func (s *visit) dial(text []byte) {
	a, ok := hostPort(text[bytes.IndexByte(text, '(')+1:])
	if !ok {
		s.fail(fmt.Sprintf("a 227 reply says %q", text))
		return
	}
	fd, err := connect(a)
	if err != nil {
		s.fail(err.Error())
		return
	}
	s.receive(fd)
	s.control.say([]byte("RETR f\r\n"))
}

// receive takes the file from a data connection.
func (s *visit) receive(fd int) {
	c, err := s.loop.add(fd, unix.EPOLLIN)
	if err != nil {
		s.fail(err.Error())
		return
	}
	s.data = c
	c.ready = func() {
		n, err := unix.Read(c.fd, s.buf[:])
		switch {
		case err == unix.EAGAIN:
		case err != nil:
			s.fail("the data connection: " + err.Error())
		case n == 0:
			s.loop.remove(c)
			s.quit()
		default:
			s.got += n
		}
	}
}

// quit ends the session when the file is here and the server says so.
func (s *visit) quit() {
	if s.complete && s.got == FileSize && !s.saidQuit {
		s.saidQuit = true
		s.control.say([]byte("QUIT\r\n"))
	}
}
