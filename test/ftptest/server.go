package ftptest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Server is an FTP server with its files in memory. Set fields before Serve.
type Server struct {
	Network Network // where data sockets are made
	// User and Password are those that may log in; empty accepts any.
	User, Password string
	// Greeting is the text of the first reply.
	Greeting string
	// Advertise is the address in 227 replies; the zero Addr stands for the
	// address that the client is connected to.
	Advertise netip.Addr
	// PassivePort is where passive mode listens; 0 lets the kernel choose.
	PassivePort uint16
	// Format227 and Format229 write the whole reply, without its last line
	// end, for the address that the server listens on (227: advertises). Nil
	// stands for the functions of that name.
	Format227, Format229 func(netip.AddrPort) string
	// AnyActivePort lets the kernel choose the source port of active data
	// connections. Otherwise it is 20, if this may be bound.
	AnyActivePort bool
	// CheckAddress refuses a PORT or EPRT with an address that is not the
	// client's, as most servers do.
	CheckAddress bool
	// Timeout bounds how long a data connection may take to come up; 0 is a minute.
	Timeout time.Duration
	// Wire is how replies are written.
	Wire Wire

	mu        sync.Mutex
	files     map[string][]byte
	stored    map[string]uint64 // the turns of files
	turns     atomic.Uint64
	sessions  []*session
	listeners map[net.Listener]bool
	closed    bool
	running   sync.WaitGroup
}

// Session is what the server saw of one control connection.
type Session struct {
	Local, Remote netip.AddrPort
	User          string
	Commands      []string // lines as received, with their line ends
	Replies       []string // as sent, with their line ends
	Data          []DataConn
}

// Last returns the last command line of a verb as received, without its line
// end, or "".
func (s Session) Last(verb string) string { return last(s.Commands, verb) }

// LastReply returns the last reply that begins with a code, or "".
func (s Session) LastReply(code string) string { return last(s.Replies, code) }

func last(lines []string, prefix string) string {
	for _, line := range slices.Backward(lines) {
		if strings.HasPrefix(strings.ToUpper(line), prefix) {
			return strings.TrimRight(line, "\r\n")
		}
	}
	return ""
}

// DataConn is a data connection as the server saw it.
type DataConn struct {
	Mode          Mode
	Command       string // the command that it served, for instance "RETR big"
	Local, Remote netip.AddrPort
	Bytes         int64
}

// Put stores a file.
func (s *Server) Put(name string, data []byte) { s.store(name, data, s.turn()) }

// turn returns a number that is greater than all before.
func (s *Server) turn() uint64 { return s.turns.Add(1) }

// store stores a file, but not over one of a later turn: a client that gives up and stores it anew must not
// find what came of its first attempt, which may end whenever it wants.
func (s *Server) store(name string, data []byte, turn uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files == nil {
		s.files, s.stored = map[string][]byte{}, map[string]uint64{}
	}
	if s.stored[name] <= turn {
		s.files[name], s.stored[name] = data, turn
	}
}

// File returns a file.
func (s *Server) File(name string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, ok := s.files[name]
	return data, ok
}

// names returns the names of all files, sorted.
func (s *Server) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name := range s.files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Random returns data that is the same for the same seed.
func Random(size int, seed uint64) []byte {
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	b := make([]byte, size)
	_, _ = rand.NewChaCha8(key).Read(b) // never fails
	return b
}

// Sessions returns what the server saw so far, in the order of connection.
func (s *Server) Sessions() []Session {
	s.mu.Lock()
	sessions := slices.Clone(s.sessions)
	s.mu.Unlock()
	var out []Session
	for _, x := range sessions {
		out = append(out, x.snapshot())
	}
	return out
}

// ErrClosed is returned by [Server.Serve] after [Server.Close].
var ErrClosed = errors.New("ftptest: the server is closed")

// Serve serves control connections until the server is closed. It may be
// called for any number of listeners.
func (s *Server) Serve(l net.Listener) error {
	if !s.track(l) {
		l.Close()
		return ErrClosed
	}
	for {
		c, err := l.Accept()
		if err != nil {
			if s.isClosed() {
				return ErrClosed
			}
			return fmt.Errorf("accepting control connections on %s: %w", l.Addr(), err)
		}
		if x := s.newSession(c); x != nil {
			go func() {
				defer s.running.Done()
				x.run()
			}()
		}
	}
}

// Listen listens on the server's network, for [Server.Serve].
func (s *Server) Listen(at netip.AddrPort) (net.Listener, error) {
	l, err := networkOf(s.Network).Listen("tcp", at.String())
	if err != nil {
		return nil, fmt.Errorf("listening for control connections: %w", err)
	}
	return l, nil
}

// Start listens and serves in the background until the server is closed.
func (s *Server) Start(at netip.AddrPort) error {
	l, err := s.Listen(at)
	if err != nil {
		return err
	}
	go func() { _ = s.Serve(l) }() // ends with Close
	return nil
}

// Close ends all sessions and waits for them.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	for l := range s.listeners {
		l.Close()
	}
	for _, x := range s.sessions {
		x.cancel()
	}
	s.mu.Unlock()
	s.running.Wait()
	return nil
}

func (s *Server) track(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if s.listeners == nil {
		s.listeners = map[net.Listener]bool{}
	}
	s.listeners[l] = true
	return true
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// newSession returns nil, with the connection closed, if the server is.
func (s *Server) newSession(c net.Conn) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		c.Close()
		return nil
	}
	x := &session{server: s, conn: c,
		seen: Session{Local: addrPort(c.LocalAddr()), Remote: addrPort(c.RemoteAddr())}}
	x.ctx, x.cancel = context.WithCancel(context.Background())
	context.AfterFunc(x.ctx, func() { c.Close() })
	s.sessions = append(s.sessions, x)
	s.running.Add(1)
	return x
}

func (s *Server) timeout() time.Duration {
	if s.Timeout > 0 {
		return s.Timeout
	}
	return time.Minute
}
