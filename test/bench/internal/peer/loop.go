package peer

import (
	"bytes"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// loop waits for many sockets on one thread.
type loop struct {
	ep     int
	events [256]unix.EpollEvent
	conns  []*conn // by descriptor
}

// conn is a socket of a loop.
type conn struct {
	fd    int
	ready func() // it can be read, or written, or has failed
	buf   [1024]byte
	n     int // bytes of a line that is not complete
}

func newLoop() (*loop, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making an epoll: %w", err)
	}
	return &loop{ep: ep}, nil
}

// add watches a descriptor, which belongs to the loop from now on.
func (l *loop) add(fd int, events uint32) (*conn, error) {
	c := &conn{fd: fd}
	for len(l.conns) <= fd {
		l.conns = append(l.conns, nil)
	}
	l.conns[fd] = c
	err := unix.EpollCtl(l.ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
	if err != nil {
		l.remove(c)
		return nil, fmt.Errorf("watching a socket: %w", err)
	}
	return c, nil
}

// remove closes the socket. Doing it again, or to nil, does nothing.
func (l *loop) remove(c *conn) {
	if c != nil && c.fd >= 0 {
		l.conns[c.fd] = nil
		_ = unix.Close(c.fd)
		c.fd = -1
	}
}

// wait handles what happens within so many milliseconds, or the first of it.
func (l *loop) wait(ms int) error {
	n, err := unix.EpollWait(l.ep, l.events[:], ms)
	if err != nil && err != unix.EINTR {
		return fmt.Errorf("waiting for sockets: %w", err)
	}
	for i := range max(n, 0) {
		if c := l.conns[l.events[i].Fd]; c != nil {
			c.ready()
		}
	}
	return nil
}

func (l *loop) close() {
	for _, c := range l.conns {
		l.remove(c)
	}
	_ = unix.Close(l.ep)
}

// lines reads once and calls f for each complete line, without its end. It returns false when the
// connection is over.
func (c *conn) lines(f func(line []byte)) bool {
	n, err := unix.Read(c.fd, c.buf[c.n:])
	if err == unix.EAGAIN || err == unix.EINTR {
		return true
	}
	if n <= 0 || err != nil {
		return false
	}
	data := c.buf[:c.n+n]
	for c.fd >= 0 {
		end := bytes.IndexByte(data, '\n')
		if end < 0 {
			break
		}
		f(bytes.TrimSuffix(data[:end], []byte("\r")))
		data = data[end+1:]
	}
	c.n = copy(c.buf[:], data)
	return c.n < len(c.buf)
}

// say sends a line whole; false: the connection does not take it.
func (c *conn) say(line []byte) bool {
	n, err := unix.Write(c.fd, line)
	return err == nil && n == len(line)
}

// socket makes a TCP socket that sends at once and does not block.
func socket() (int, error) {
	const kind = unix.SOCK_STREAM | unix.SOCK_NONBLOCK | unix.SOCK_CLOEXEC
	fd, err := unix.Socket(unix.AF_INET, kind, unix.IPPROTO_TCP)
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	if err != nil {
		return -1, fmt.Errorf("making a socket: %w", err)
	}
	return fd, nil
}

// listen opens a TCP port.
func listen(at netip.AddrPort, backlog int) (int, error) {
	fd, err := socket()
	if err != nil {
		return -1, err
	}
	if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err == nil {
		if err = unix.Bind(fd, sockaddr(at)); err == nil {
			err = unix.Listen(fd, backlog)
		}
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("listening at %s: %w", at, err)
	}
	return fd, nil
}

// connect begins a connection; its socket can be written when it stands.
func connect(to netip.AddrPort) (int, error) {
	fd, err := socket()
	if err != nil {
		return -1, err
	}
	if err := unix.Connect(fd, sockaddr(to)); err != nil && err != unix.EINPROGRESS {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("connecting to %s: %w", to, err)
	}
	return fd, nil
}

func accept(fd int) (int, error) {
	c, _, err := unix.Accept4(fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	if err == nil {
		err = unix.SetsockoptInt(c, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	return c, err
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
}

// dataPorts hands out ports to listen on, one after another, outside those that the kernel chooses.
type dataPorts struct{ next uint16 }

const firstDataPort, lastDataPort = 12000, 31999

// listen opens the next port that is free.
func (p *dataPorts) listen(host netip.Addr) (fd int, port uint16, err error) {
	for range 100 {
		if p.next++; p.next < firstDataPort || p.next > lastDataPort {
			p.next = firstDataPort
		}
		if fd, err = listen(netip.AddrPortFrom(host, p.next), 1); err == nil {
			return fd, p.next, nil
		}
	}
	return -1, 0, err
}

// appendHostPort writes h1,h2,h3,h4,p1,p2.
func appendHostPort(b []byte, host netip.Addr, port uint16) []byte {
	a := host.As4()
	return fmt.Appendf(b, "%d,%d,%d,%d,%d,%d", a[0], a[1], a[2], a[3], port>>8, port&0xff)
}

// hostPort reads h1,h2,h3,h4,p1,p2.
func hostPort(b []byte) (netip.AddrPort, bool) {
	var v [6]byte
	for i := range v {
		digits, n := 0, 0
		for len(b) > 0 && b[0] >= '0' && b[0] <= '9' {
			n, digits, b = n*10+int(b[0]-'0'), digits+1, b[1:]
		}
		if digits == 0 || digits > 3 || n > 255 || i < 5 && (len(b) == 0 || b[0] != ',') {
			return netip.AddrPort{}, false
		}
		if v[i] = byte(n); i < 5 {
			b = b[1:]
		}
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(v[:4])), uint16(v[4])<<8|uint16(v[5])), true
}
