package ruleset

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/ftpalg/ftpalg/conntrack/internal/nlread"
	"golang.org/x/sys/unix"
)

// answerTime is how long nftables may take. It answers at once unless a module
// has to be loaded, and never if that fails half-way.
const answerTime = 10 * time.Second

// errInterrupted tells that the rules were changed while they were dumped.
var errInterrupted = errors.New("the rules were changed while they were read")

// maxDatagram holds the largest datagram of a dump or an event, 32 KiB
// (netlink_recvmsg in net/netlink/af_netlink.c), with room.
const maxDatagram = 64 << 10

// socket is a netlink socket to netfilter. It does its own sending and receiving
// for three things that no library offers together: the generation that a
// transaction depends on, the port by which others know our changes, and an end
// to every wait.
type socket struct {
	file   *os.File
	portID uint32 // the kernel's name of this socket in its network namespace
	seq    uint32
	buf    []byte

	raw  syscall.RawConn
	look func(uintptr) // of poll, which allocates nothing; it leaves what follows
	n    int
	err  error
}

// openSocket opens one in the network namespace of the calling thread, as a
// member of the multicast groups in the mask (1<<(group-1)).
func openSocket(groups uint32) (*socket, error) {
	const kind = unix.SOCK_RAW | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK
	fd, err := unix.Socket(unix.AF_NETLINK, kind, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket to nftables: %w", err)
	}
	portID, err := bindSocket(fd, groups)
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("bind the netlink socket to nftables: %w", err)
	}
	file := os.NewFile(uintptr(fd), "nftables")
	s := &socket{file: file, portID: portID, buf: make([]byte, maxDatagram)}
	if s.raw, err = file.SyscallConn(); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("wait on the netlink socket to nftables: %w", err)
	}
	s.look = func(fd uintptr) { s.n, s.err = unix.Read(int(fd), s.buf) }
	return s, nil
}

func bindSocket(fd int, groups uint32) (portID uint32, err error) {
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		return 0, err
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return 0, err
	}
	return name.(*unix.SockaddrNetlink).Pid, nil
}

func (s *socket) close() error { return s.file.Close() }

// message is one netlink message of nf_tables as received.
type message struct {
	typ    uint16 // NFT_MSG_…, or NLMSG_ERROR and NLMSG_DONE
	nft    bool   // typ is an NFT_MSG_
	flags  uint16
	seq    uint32
	portID uint32 // of the socket whose request it answers or tells of
	family uint8
	body   []byte // attributes; for NLMSG_ERROR and NLMSG_DONE what follows the header
}

// receive reads a datagram and gives f its messages; what they hold is valid
// until f returns.
func (s *socket) receive(f func(message)) error {
	n, err := s.file.Read(s.buf)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		// The time may have passed in the send, in which nftables does everything, or while the program was
		// stopped. Then the answer is there, and the runtime did not look for it.
		var ok bool
		if n, ok = s.poll(); ok {
			err = nil
		}
	}
	if err != nil {
		return err
	}
	s.each(n, f)
	return nil
}

// each gives f the messages of the datagram of n bytes that was read.
func (s *socket) each(n int, f func(message)) {
	for m, rest, ok := nlread.NextMessage(s.buf[:n]); ok; m, rest, ok = nlread.NextMessage(rest) {
		f(parseMessage(m))
	}
}

// await waits for a datagram and reads it while it holds mu, which stays locked if there is no error: nobody
// who locks it comes between the reading of a datagram and its handling.
func (s *socket) await(mu *sync.Mutex) (n int, err error) {
	waiting := s.raw.Read(func(fd uintptr) bool {
		mu.Lock()
		if n, err = unix.Read(int(fd), s.buf); err == nil {
			return true
		}
		mu.Unlock()
		return err != unix.EAGAIN && err != unix.EINTR
	})
	if waiting != nil {
		return 0, waiting
	}
	return n, err
}

// poll reads a datagram if there is one.
func (s *socket) poll() (n int, ok bool) {
	if err := s.raw.Control(s.look); err != nil {
		return 0, false
	}
	return s.n, s.err == nil
}

func parseMessage(in nlread.Message) message {
	m := message{typ: in.Type, flags: in.Flags, seq: in.Seq, portID: in.PortID, body: in.Body}
	if m.typ>>8 == unix.NFNL_SUBSYS_NFTABLES && len(m.body) >= genmsgLen {
		m.nft, m.typ, m.family, m.body = true, m.typ&0xff, m.body[0], m.body[genmsgLen:]
	}
	return m
}

// exchange sends a datagram whose messages have the sequence numbers from first
// to last, and gives f what answers it, to the acknowledgement of last. The error
// is the first errno among the answers.
func (s *socket) exchange(out []byte, first, last uint32, f func(message)) error {
	if err := s.file.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return err
	}
	if _, err := s.file.Write(out); err != nil {
		return explain(err)
	}
	var refused error
	for done := false; !done; {
		err := s.receive(func(m message) {
			if m.seq-first > last-first { // a late answer to what was given up
				return
			}
			switch {
			case m.nft:
				if m.flags&unix.NLM_F_DUMP_INTR != 0 && refused == nil {
					refused = errInterrupted
				}
				f(m)
			case m.typ == unix.NLMSG_ERROR, m.typ == unix.NLMSG_DONE:
				if err := nlread.Errno(m.body); err != nil && refused == nil {
					refused = err
				}
				// An error of the first message can be that of the whole batch.
				done = done || m.seq == last || m.seq == first && refused != nil
			}
		})
		if err != nil {
			return explain(err)
		}
	}
	return explain(refused)
}

func explain(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("the kernel did not answer within %v: is nf_tables there? %w", answerTime, err)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("CAP_NET_ADMIN is missing: %w", err)
	}
	return err
}

// request asks one question; fill writes its attributes.
func (s *socket) request(typ, flags uint16, fill func(*attrs), f func(message)) error {
	s.seq++
	body, err := encode(fill)
	if err != nil {
		return err
	}
	if flags&unix.NLM_F_DUMP == 0 {
		flags |= unix.NLM_F_ACK
	}
	out := appendMessage(nil, unix.NFNL_SUBSYS_NFTABLES<<8|typ, flags|unix.NLM_F_REQUEST, s.seq, 0, body)
	return s.exchange(out, s.seq, s.seq, f)
}

// generation returns the number of the ruleset of the network namespace, which
// every transaction of whatever program makes another.
func (s *socket) generation() (gen uint32, err error) {
	err = s.request(unix.NFT_MSG_GETGEN, 0, func(*attrs) {}, func(m message) {
		gen = nlread.U32(nlread.Attr(m.body, unix.NFTA_GEN_ID))
	})
	return gen, err
}

// commit applies the batch, all or nothing, and only if the ruleset is still that
// of the generation, or whatever it is if gen is 0. The error is unix.ERESTART if
// it is another.
func (s *socket) commit(gen uint32, b *batch) error {
	if b.err != nil {
		return b.err
	}
	first := s.seq + 1
	out := batchEdge(nil, unix.NFNL_MSG_BATCH_BEGIN, first, gen)
	for i, m := range b.messages {
		flags := m.flags | unix.NLM_F_REQUEST
		if i == len(b.messages)-1 {
			flags |= unix.NLM_F_ACK
		}
		out = appendMessage(out, unix.NFNL_SUBSYS_NFTABLES<<8|m.typ, flags, first+1+uint32(i), 0, m.body)
	}
	last := first + uint32(len(b.messages))
	s.seq = last + 1
	out = batchEdge(out, unix.NFNL_MSG_BATCH_END, s.seq, 0)
	return s.exchange(out, first, last, func(message) {})
}
