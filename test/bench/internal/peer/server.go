package peer

import (
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/test/lab"
)

// FileSize is the size of the one file of a Server, in bytes.
const FileSize = 10 << 10

var file = make([]byte, FileSize)

// Server is an FTP server on a thread of its own.
type Server struct {
	loop  *loop
	addr  netip.Addr
	wants netip.Addr // the host that a PORT must name
	ports dataPorts
	stop  chan struct{}
	ended chan error
}

// serving is one control connection.
type serving struct {
	*Server
	control *conn
	target  netip.AddrPort // of PORT
	passive *conn          // listens after PASV
	data    *conn
	dataFD  int // accepted, not asked for yet; -1: none
	asked   bool
	left    int // bytes to send
}

// Serve starts a server at an address of the host. A PORT that names another host than wants is
// refused, so that a gateway that did nothing is not taken for a fast one.
func Serve(h *lab.Host, at netip.AddrPort, wants netip.Addr) (*Server, error) {
	s := &Server{addr: at.Addr(), wants: wants, stop: make(chan struct{}), ended: make(chan error, 1)}
	started := make(chan error, 1)
	go func() {
		s.ended <- h.Do(func() error {
			err := s.open(at)
			started <- err
			if err != nil {
				return err
			}
			defer s.loop.close()
			return s.run()
		})
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting the FTP server: %w", err)
	}
	return s, nil
}

// Close ends the server and its connections.
func (s *Server) Close() error {
	close(s.stop)
	return <-s.ended
}

func (s *Server) open(at netip.AddrPort) (err error) {
	if s.loop, err = newLoop(); err != nil {
		return err
	}
	fd, err := listen(at, 4096)
	if err != nil {
		return err
	}
	l, err := s.loop.add(fd, unix.EPOLLIN)
	if err != nil {
		return err
	}
	l.ready = func() {
		if fd, err := accept(l.fd); err == nil {
			s.greet(fd)
		}
	}
	return nil
}

func (s *Server) run() error {
	const stopTime = 500 // milliseconds
	for {
		select {
		case <-s.stop:
			return nil
		default:
		}
		if err := s.loop.wait(stopTime); err != nil {
			return err
		}
	}
}

func (s *Server) greet(fd int) {
	c, err := s.loop.add(fd, unix.EPOLLIN)
	if err != nil {
		return
	}
	v := &serving{Server: s, control: c, dataFD: -1}
	c.ready = func() {
		if !c.lines(v.command) {
			v.end()
		}
	}
	c.say([]byte("220 ready\r\n"))
}

func (v *serving) end() {
	v.loop.remove(v.control)
	v.noData()
}

// noData gives up the data connection and the wish for one.
func (v *serving) noData() {
	v.loop.remove(v.passive)
	v.loop.remove(v.data)
	if v.dataFD >= 0 {
		_ = unix.Close(v.dataFD)
	}
	v.dataFD, v.asked, v.target = -1, false, netip.AddrPort{}
}

func (v *serving) command(line []byte) {
	verb, _, _ := cut(line)
	switch verb {
	case "NOOP":
		v.control.say([]byte("200 ok\r\n"))
	case "USER":
		v.control.say([]byte("331 password\r\n"))
	case "PASS":
		v.control.say([]byte("230 in\r\n"))
	case "PORT":
		v.port(line[5:])
	case "PASV":
		v.pasv()
	case "RETR":
		v.retr()
	case "QUIT":
		v.control.say([]byte("221 bye\r\n"))
		v.end()
	default:
		v.control.say([]byte("500 what\r\n"))
	}
}

// cut splits off the first four bytes, which in this small language are the verb or the code.
func cut(line []byte) (verb string, rest []byte, ok bool) {
	if len(line) < 4 {
		return string(line), nil, false
	}
	return string(line[:4]), line[4:], true
}

func (v *serving) port(arg []byte) {
	v.noData()
	a, ok := hostPort(arg)
	if !ok || a.Addr() != v.wants {
		v.control.say([]byte("501 not your address\r\n"))
		return
	}
	v.target = a
	v.control.say([]byte("200 ok\r\n"))
}

func (v *serving) pasv() {
	v.noData()
	fd, port, err := v.ports.listen(v.addr)
	if err == nil {
		v.passive, err = v.loop.add(fd, unix.EPOLLIN)
	}
	if err != nil {
		v.control.say([]byte("425 no port\r\n"))
		return
	}
	v.passive.ready = func() {
		if fd, err := accept(v.passive.fd); err == nil {
			v.loop.remove(v.passive)
			v.dataFD = fd
			v.send()
		}
	}
	reply := appendHostPort([]byte("227 Entering Passive Mode ("), v.addr, port)
	v.control.say(append(reply, ").\r\n"...))
}

func (v *serving) retr() {
	v.control.say([]byte("150 coming\r\n"))
	v.asked = true
	if v.target.IsValid() {
		fd, err := connect(v.target)
		if err != nil {
			v.control.say([]byte("425 cannot connect\r\n"))
			return
		}
		v.dataFD = fd
	}
	v.send()
}

// send sends the file once it is asked for and there is a connection.
func (v *serving) send() {
	if !v.asked || v.dataFD < 0 {
		return
	}
	c, err := v.loop.add(v.dataFD, unix.EPOLLOUT)
	if err != nil {
		v.control.say([]byte("425 no socket\r\n"))
		return
	}
	v.data, v.dataFD, v.left = c, -1, FileSize
	c.ready = func() {
		n, err := unix.Write(c.fd, file[:v.left])
		if err == unix.EAGAIN {
			return
		}
		if v.left -= max(n, 0); err == nil && v.left > 0 {
			return
		}
		v.noData()
		if err != nil {
			v.control.say([]byte("425 no data connection\r\n"))
			return
		}
		v.control.say([]byte("226 done\r\n"))
	}
}

// patience is how long anything of the bench waits for an answer.
const patience = 5 * time.Second
