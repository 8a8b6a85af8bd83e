package conntrack

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/ftpalg/ftpalg/conntrack/internal/nlread"
	"golang.org/x/sys/unix"
)

// answerTime is how long the kernel may take for one answer. It answers within
// the send already, so only a module that is being loaded comes near.
const answerTime = 2 * time.Second

// maxAnswer holds the largest datagram of a dump, 32 KiB (netlink_recvmsg in
// net/netlink/af_netlink.c), with room for whatever a later kernel makes of it.
const maxAnswer = 64 << 10

// Conn talks to ctnetlink and to the helper registry of one network namespace.
// It is not for concurrent use.
//
// It does its own sending and receiving because a generic netlink library reads
// on until NLMSG_DONE if an answer carries NLM_F_MULTI, and ctnetlink's answer to
// a GET carries that flag and no DONE. Here every request asks for an
// acknowledgement and is over when it has come.
type Conn struct {
	fd  int
	seq uint32
	out encoder
	buf []byte
	in  []byte // what is unread of the datagram in buf

	portID uint32
	calls  uint64

	decoder
}

// Dial opens a netlink socket in the network namespace of the calling thread.
// Everything but Flow and Expectations needs CAP_NET_ADMIN.
func Dial() (*Conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK,
		unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket to netfilter: %w", err)
	}
	// Connected to the kernel, so that nobody else can send to it.
	if err := unix.Connect(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("connect the netlink socket to netfilter: %w", err)
	}
	c := &Conn{fd: fd, buf: make([]byte, maxAnswer), decoder: decoder{layout: DefaultLayout}}
	if c.portID, err = nlread.PortID(fd); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return c, nil
}

// PortID is the netlink port id of the socket. Events of what this Conn has changed carry
// it; it is no process id.
func (c *Conn) PortID() uint32 { return c.portID }

// Calls tells how many system calls were made for requests and their answers.
func (c *Conn) Calls() uint64 { return c.calls }

// SetLayout sets where in the label our bytes lie, which is DefaultLayout before.
func (c *Conn) SetLayout(l Layout) error {
	if l > maxLayout {
		return fmt.Errorf("lay our 14 bytes out from byte %d of the 16 of a label: it must be 0 to %d",
			l, maxLayout)
	}
	c.layout = l
	return nil
}

// Close closes the socket.
func (c *Conn) Close() error {
	return os.NewSyscallError("close", unix.Close(c.fd))
}

// start begins a request. It is acknowledged, but for a dump, which ends with
// NLMSG_DONE instead.
func (c *Conn) start(typ, flags uint16, family uint8) *encoder {
	return c.begin(typ, flags|unix.NLM_F_ACK, family)
}

// begin begins a request that is answered by what it asks for, or by an error.
func (c *Conn) begin(typ, flags uint16, family uint8) *encoder {
	c.nextSeq()
	c.out.start(typ, flags|unix.NLM_F_REQUEST, c.seq, family)
	return &c.out
}

// add begins another request in the same datagram, answered as one of begin. The kernel
// does the requests of a datagram in their order (netlink_rcv_skb in
// net/netlink/af_netlink.c), also after one that fails.
func (c *Conn) add(typ, flags uint16, family uint8) *encoder {
	c.out.finish()
	c.nextSeq()
	c.out.add(typ, flags|unix.NLM_F_REQUEST, c.seq, family)
	return &c.out
}

// nextSeq leaves out 0, which is the number of what nobody asked for.
func (c *Conn) nextSeq() {
	if c.seq++; c.seq == 0 {
		c.seq = 1
	}
}

// send sends the requests that were begun.
func (c *Conn) send() error {
	c.in = nil
	msg := c.out.finish()
	for {
		c.calls++
		_, err := unix.Write(c.fd, msg)
		if !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("netlink send", err)
		}
	}
}

// do sends the request and reads to its acknowledgement. The error is the
// kernel's errno.
func (c *Conn) do() error {
	if err := c.send(); err != nil {
		return err
	}
	for {
		if _, done, err := c.next(); done || err != nil {
			return err
		}
	}
}

// next returns the attributes of the next message that answers the last request;
// they are valid until the next call. done is true at the acknowledgement.
func (c *Conn) next() (attrs []byte, done bool, err error) {
	for {
		seq, attrs, done, err := c.read()
		if seq == c.seq || seq == 0 {
			return attrs, done, err
		}
	}
}

// read returns the next answer and the sequence number of its request, 0 if none could be
// read. done is true at the end of what answers a request: an acknowledgement or an error.
func (c *Conn) read() (seq uint32, attrs []byte, done bool, err error) {
	for {
		if len(c.in) == 0 {
			if err := c.receive(); err != nil {
				return 0, nil, false, err
			}
		}
		m, rest, ok := nlread.NextMessage(c.in)
		c.in = rest
		if !ok || m.Seq == 0 {
			continue
		}
		switch m.Type {
		case unix.NLMSG_ERROR, unix.NLMSG_DONE:
			return m.Seq, nil, true, nlread.Errno(m.Body)
		case unix.NLMSG_NOOP:
		default:
			if len(m.Body) >= genmsgLen {
				return m.Seq, m.Body[genmsgLen:], false, nil
			}
		}
	}
}

// said returns the next message that is there. The kernel has said all that it says to a request before send
// returns; EAGAIN is that it said no more.
func (c *Conn) said() (nlread.Message, error) {
	for {
		if len(c.in) == 0 {
			if err := c.receiveNow(); err != nil {
				return nlread.Message{}, err
			}
		}
		m, rest, ok := nlread.NextMessage(c.in)
		if c.in = rest; ok {
			return m, nil
		}
	}
}

// receive waits for a datagram if there is none.
func (c *Conn) receive() error {
	err := c.receiveNow()
	if !errors.Is(err, unix.EAGAIN) {
		return err
	}
	fds := []unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}}
	for end := time.Now().Add(answerTime); ; {
		n, err := unix.Poll(fds, max(0, int(time.Until(end).Milliseconds())))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return os.NewSyscallError("wait for a netlink answer", err)
		case n == 0:
			return fmt.Errorf("the kernel did not answer within %v", answerTime)
		default:
			return c.receiveNow()
		}
	}
}

// receiveNow takes a datagram that is there, else the error is EAGAIN.
func (c *Conn) receiveNow() error {
	for {
		c.calls++
		n, err := unix.Read(c.fd, c.buf)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return os.NewSyscallError("netlink receive", err)
		default:
			c.in = c.buf[:n]
			return nil
		}
	}
}
