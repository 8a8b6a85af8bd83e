package chaos

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/test/ftptest"
	"github.com/ftpalg/ftpalg/test/lab"
)

// dataPatience is how long a client tries to connect to a port that it was told.
const dataPatience = 6 * time.Second

// tape is what a client wrote on its control connection and read from it.
type tape struct {
	user     string
	side     *side
	original conntrack.Tuple
	done     bool // the session ended as it should, and nothing is missing at its end

	begun time.Time
	wiped atomic.Bool // somebody cleared its label
	slow  bool        // data is read slowly

	mu             sync.Mutex
	sent, received track
}

// track is one direction.
type track struct {
	text  []byte
	spans []span
}

// span is what was written or read at once.
type span struct {
	at  time.Time
	end int
}

func (k *track) add(b []byte) {
	k.text = append(k.text, b...)
	k.spans = append(k.spans, span{time.Now(), len(k.text)})
}

// when tells when the byte at a place was written or read.
func (k *track) when(place int) (at time.Time) {
	for _, s := range k.spans {
		if at = s.at; s.end > place {
			break
		}
	}
	return at
}

// lines cuts text after each line feed.
func lines(text []byte) (all []string) {
	for line := range bytes.Lines(text) {
		all = append(all, string(line))
	}
	return all
}

// network is that of a client with a tape.
type network struct {
	*lab.Host
	tape *tape
}

func (n network) Dial(ctx context.Context, local, remote netip.AddrPort) (net.Conn, error) {
	if remote.Port() != controlPort {
		var cancel func()
		ctx, cancel = context.WithTimeout(ctx, dataPatience)
		defer cancel()
	}
	c, err := n.Host.Dial(ctx, local, remote)
	switch {
	case err != nil:
		return nil, err
	case remote.Port() == controlPort:
		return &taped{c, n.tape}, nil
	}
	return n.data(c), nil
}

func (n network) Listen(network, address string) (net.Listener, error) {
	l, err := n.Host.Listen(network, address)
	if err != nil {
		return nil, err
	}
	return &listener{l, n}, nil
}

// data is a data connection, which may be slow.
func (n network) data(c net.Conn) net.Conn {
	if n.tape.slow {
		return &slow{moving{c}}
	}
	return moving{c}
}

// listener gives data connections.
type listener struct {
	net.Listener
	n network
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.n.data(c), nil
}

// slow is a data connection that takes a while, so that something happens in its time.
type slow struct{ moving }

func (s *slow) Read(b []byte) (int, error) {
	time.Sleep(5 * time.Millisecond)
	return s.moving.Read(b[:min(len(b), 4<<10)])
}

// atServer is the network of a server, which gives up on data connections on which nothing moves: as real
// ones do, only sooner.
type atServer struct{ *lab.Host }

func (n atServer) Dial(ctx context.Context, local, remote netip.AddrPort) (net.Conn, error) {
	c, err := n.Host.Dial(ctx, local, remote)
	if err != nil {
		return nil, err
	}
	return moving{c}, nil
}

func (n atServer) Listen(network, address string) (net.Listener, error) {
	l, err := n.Host.Listen(network, address)
	if err != nil {
		return nil, err
	}
	return &movingListener{l}, nil
}

type movingListener struct{ net.Listener }

func (l *movingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return moving{c}, nil
}

// moving is a data connection that gives up if nothing moves.
type moving struct{ net.Conn }

// stuckAfter is longer than any outage with what TCP waits after it.
const stuckAfter = 15 * time.Second

func (c moving) Read(b []byte) (int, error) {
	_ = c.SetReadDeadline(time.Now().Add(stuckAfter))
	return c.Conn.Read(b)
}

func (c moving) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		_ = c.SetWriteDeadline(time.Now().Add(stuckAfter))
		var k int
		k, err = c.Conn.Write(b[n:min(len(b), n+16<<10)])
		n += k
	}
	return n, err
}

// taped is a control connection.
type taped struct {
	net.Conn
	*tape
}

func (c *taped) Write(b []byte) (int, error) {
	c.mu.Lock()
	c.sent.add(b)
	c.mu.Unlock()
	return c.Conn.Write(b)
}

func (c *taped) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	if n > 0 {
		c.received.add(b[:n])
	}
	return n, err
}

var _ ftptest.Network = network{}
